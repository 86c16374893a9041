/** The list of conversations by day, as the reader's calendar has it. */
import type { ChatSummary } from '../api';

export type Group = 'today' | 'yesterday' | 'week' | 'earlier';

/** Calendar days of the reader, not spans of 24 hours. */
export function groupOf(updated_at: number, now_ms: number): Group {
  const midnight = new Date(now_ms).setHours(0, 0, 0, 0);
  if (updated_at >= midnight) return 'today';
  const day = new Date(midnight);
  if (updated_at >= day.setDate(day.getDate() - 1)) return 'yesterday';
  return updated_at >= day.setDate(day.getDate() - 6) ? 'week' : 'earlier';
}

export function grouped(list: readonly ChatSummary[], now_ms: number): [Group, ChatSummary[]][] {
  const groups = new Map<Group, ChatSummary[]>();
  for (const chat of list) {
    const group = groupOf(chat.updated_at, now_ms);
    groups.set(group, [...(groups.get(group) ?? []), chat]);
  }
  return [...groups];
}
