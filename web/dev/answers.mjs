// What the mock's model says. The first word of a question picks the scene; anything else gets the long answer.
const LONG = `A sliding window counts what happened in the **last sixty seconds**, not in the current minute. The difference is what
happens at the edge.

## Why the edge matters

With a fixed window a client may send 30 requests at 12:00:59 and 30 more at 12:01:00. That is *sixty in two seconds*, and every
one of them is allowed.

1. Keep the time of each request.
2. Drop the ones older than the window.
3. Compare what is left with the limit.

\`\`\`rust
/// Admits a request when fewer than \`limit\` lie within the window.
pub fn admit(&mut self, now: Instant) -> Result<(), Duration> {
    while let Some(&first) = self.seen.front() {
        if now - first < self.window {
            break;
        }
        self.seen.pop_front();
    }
    if self.seen.len() >= 30 {
        return Err(self.window - (now - self.seen[0]));
    }
    self.seen.push_back(now);
    Ok(())
}
\`\`\`

| Scheme | Memory per key | Error at the edge |
| :-- | --: | :-: |
| Fixed window | 8 bytes | up to 2x |
| Sliding log | 8 bytes x limit | none |
| Sliding counter | 16 bytes | about 6 % |

> The log is exact. With a limit of 30 it costs 240 bytes per key, which nobody will notice.

- [x] exact under races
- [x] gives a true \`Retry-After\`
- [ ] shared between machines, for that see [RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#field.retry-after)

An image stays where it is: ![the window, drawn](https://example.com/window.png) is only a link here.
`;

const CHINESE = `滑动窗口统计的是**最近六十秒**，而不是“当前这一分钟”。**区别在于：**边界处会发生什么。

### 三个步骤

1. 记录每个请求的时间；
2. 丢弃窗口之外的记录；
3. 与上限比较，*超过*就返回 429。

\`\`\`python
def admit(seen: deque[float], now: float, limit: int = 30) -> bool:
    while seen and now - seen[0] >= 60:
        seen.popleft()  # 已经离开窗口
    if len(seen) >= limit:
        return False
    seen.append(now)
    return True
\`\`\`

| 方案 | 内存 | 边界误差 |
| --- | --- | --- |
| 固定窗口 | 8 字节 | 最多两倍 |
| 滑动日志 | 每键 240 字节 | 没有 |

使用 Qwen3:32B 时请留意 GPU 显存。
`;

const THOUGHT = `The user asks about rate limits. I should explain fixed against sliding windows first.

Is a token bucket better here? It allows bursts; the limit in question is a hard one. So: a log of times, and its cost.`;

const usage = (output_tokens, seconds) => ({
  prompt_tokens: 412,
  output_tokens,
  seconds,
  tokens_per_second: Math.round((output_tokens / seconds) * 10) / 10,
});

const failure = (code, message, action, retry_after_s = null) => ({
  kind: 'error',
  failure: { code, message, action, retry_after_s, request_id: 'req_7f3k2m9x' },
});

/** Pieces of about three tokens, as a model would give them. */
function* pieces(kind, text, ms) {
  for (let at = 0; at < text.length; at += 11) yield [ms, { kind, text: text.slice(at, at + 11) }];
}

/** A scene: pairs of a pause in ms and an event. \`speed\` 0 gives all at once. */
export function* scene(question) {
  const word = /^\/(\w+)/.exec(question)?.[1] ?? (/[\u4e00-\u9fff]/.test(question) ? 'zh' : 'long');
  const answer = word === 'zh' ? CHINESE : LONG;
  yield [50, { kind: 'queued', position: 2 }];
  if (word === 'queue') yield [60_000, { kind: 'queued', position: 1 }];
  yield [350, { kind: 'queued', position: 1 }];
  if (word === 'load' || word === 'full') {
    const rounds = word === 'load' ? 60 : 3;
    for (let s = 0; s < rounds; s += 1)
      yield [s === 0 ? 100 : 1000, { kind: 'loading', model: 'qwen3:32b', elapsed_s: s }];
  }
  if (word === 'wait') {
    yield [
      200,
      failure('rate_limited', 'You have sent 30 requests within 60 seconds, which is the limit.', 'wait', 23),
    ];
    return;
  }
  if (word === 'shorten') {
    yield [
      200,
      failure(
        'prompt_too_long',
        'The question is longer than the 32,768 characters that are allowed.',
        'shorten',
      ),
    ];
    return;
  }
  yield [200, { kind: 'reading' }];
  if (word === 'fail') {
    yield [
      300,
      failure('model_unavailable', 'The model is not answering at the moment. Nothing was lost.', 'retry'),
    ];
    return;
  }
  if (word === 'operator') {
    yield [300, failure('key_refused', 'The gateway refused the key of this site.', 'operator')];
    return;
  }
  if (word === 'think' || word === 'full') yield* pieces('thinking', THOUGHT, 25);
  if (word === 'break') {
    yield* pieces('text', answer.slice(0, 400), 5);
    yield [100, failure('upstream_cut', 'The model stopped in the middle of the answer.', 'retry')];
    return;
  }
  yield* pieces('text', answer, word === 'slow' ? 60 : word === 'fast' ? 0 : 14);
  yield [
    20,
    { kind: 'done', status: word === 'cut' ? 'cut' : 'done', usage: usage(word === 'cut' ? 512 : 436, 9.6) },
  ];
}
