/**
 * Pictures for a question: only jpeg, png and webp, as data URLs, bounded in number and size. A picture that is too large
 * is scaled down in the page; one that cannot be read or shrunk is refused with a reason. Nothing is uploaded here.
 */
export const IMAGE_TYPES = ['image/jpeg', 'image/png', 'image/webp'] as const;
export const IMAGES_LIMIT = 4;
const EDGE_LIMIT_PX = 2048;
export const IMAGE_LIMIT_BYTES = 3 * 1024 * 1024;
const SOURCE_LIMIT_BYTES = 40 * 1024 * 1024;

export type Refusal = 'type' | 'size' | 'count' | 'broken';
export type Taken = { url: string; name: string } | { refused: Refusal; name: string };

export function isImageType(type: string): boolean {
  return (IMAGE_TYPES as readonly string[]).includes(type);
}

/** The size that keeps the proportions and fits the longer edge. */
export function fit(
  width: number,
  height: number,
  edge: number = EDGE_LIMIT_PX,
): { width: number; height: number } {
  const scale = Math.min(1, edge / Math.max(width, height, 1));
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}

function toDataUrl(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener('load', () => resolve(String(reader.result)));
    reader.addEventListener('error', () => reject(new Error('unreadable')));
    reader.readAsDataURL(blob);
  });
}

async function shrink(bitmap: ImageBitmap): Promise<Blob | null> {
  const size = fit(bitmap.width, bitmap.height);
  const canvas = document.createElement('canvas');
  Object.assign(canvas, size);
  const context = canvas.getContext('2d');
  if (!context) return null;
  // JPEG has no transparency; on black, dark text of a screenshot would vanish.
  context.fillStyle = '#fff';
  context.fillRect(0, 0, size.width, size.height);
  context.drawImage(bitmap, 0, 0, size.width, size.height);
  return new Promise((resolve) => canvas.toBlob(resolve, 'image/jpeg', 0.88));
}

export async function takeImage(file: File): Promise<Taken> {
  const { name } = file;
  if (!isImageType(file.type)) return { refused: 'type', name };
  if (file.size > SOURCE_LIMIT_BYTES) return { refused: 'size', name };
  try {
    const bitmap = await createImageBitmap(file);
    const small = Math.max(bitmap.width, bitmap.height) <= EDGE_LIMIT_PX && file.size <= IMAGE_LIMIT_BYTES;
    const blob = small ? file : await shrink(bitmap);
    bitmap.close();
    if (!blob || blob.size > IMAGE_LIMIT_BYTES) return { refused: 'size', name };
    return { url: await toDataUrl(blob), name };
  } catch {
    return { refused: 'broken', name };
  }
}
