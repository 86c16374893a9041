/** Paths of the page's own icons, drawn on a 20 by 20 grid with a 1.6 stroke. */
export const icons = {
  plus: 'M10 4v12M4 10h12',
  pencil: 'M4 16l.6-3L13 4.6a1.4 1.4 0 0 1 2 0l.4.4a1.4 1.4 0 0 1 0 2L7 15.4 4 16zM11.6 6l2.4 2.4',
  trash: 'M4 6h12M8 6V4.2h4V6M5.6 6l.7 10h7.4l.7-10M8.6 9v4.4M11.4 9v4.4',
  send: 'M10 16V4.4M5 9.2l5-5 5 5',
  stop: 'M5.4 5.4h9.2v9.2H5.4z',
  copy: 'M7 7h9v9H7zM4 12.4V4h8.4',
  check: 'M4.4 10.6l3.6 3.6 7.6-8',
  again: 'M15.6 8A6 6 0 1 0 16 11.4M16 4v4.2h-4.2',
  image: 'M3.4 4.4h13.2v11.2H3.4zM3.6 13.4l3.6-3.8 3.2 3.2 2.2-2 3.8 3.6M12.6 7.8h.1',
  close: 'M5 5l10 10M15 5L5 15',
  menu: 'M3.6 6h12.8M3.6 10h12.8M3.6 14h8',
  down: 'M10 4v11.6M5 10.8l5 5 5-5',
  sun: 'M10 6.8a3.2 3.2 0 1 0 0 6.4 3.2 3.2 0 0 0 0-6.4zM10 2.4v1.4M10 16.2v1.4M2.4 10h1.4M16.2 10h1.4M4.6 4.6l1 1M14.4 14.4l1 1M15.4 4.6l-1 1M5.6 14.4l-1 1',
  moon: 'M15.8 11.8A6.4 6.4 0 0 1 8.2 4.2a6.4 6.4 0 1 0 7.6 7.6z',
  auto: 'M10 3.4a6.6 6.6 0 1 0 0 13.2 6.6 6.6 0 0 0 0-13.2zM10 3.4v13.2M10 6.6h4.6M10 10h6.4M10 13.4h4.6',
  keyboard: 'M2.6 5.4h14.8v9.2H2.6zM5.6 8.4h.1M8.5 8.4h.1M11.4 8.4h.1M14.3 8.4h.1M6.4 11.6h7.2',
  alert: 'M10 3.2l7.4 13.2H2.6zM10 8v4M10 14.2h.1',
  chevron: 'M7.4 4.8l5.2 5.2-5.2 5.2',
} as const;

export type IconName = keyof typeof icons;
