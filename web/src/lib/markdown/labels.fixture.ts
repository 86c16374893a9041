/** The words that tests of the renderer give it. */
import type { Labels } from './build';

export const labels: Labels = {
  copy: 'Copy',
  image: 'Picture',
  table: 'Table',
  code: 'Code',
  taskDone: 'done',
  taskOpen: 'open',
};
