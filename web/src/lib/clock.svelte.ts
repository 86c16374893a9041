/** One shared clock of whole seconds that ticks only while somebody looks at it: an idle page uses no time. */
class Clock {
  now_ms = $state(Date.now());
  private watchers = 0;
  private timer: ReturnType<typeof setInterval> | undefined;

  /** For an `$effect`: the returned function ends the watch. */
  watch(): () => void {
    this.watchers += 1;
    if (this.watchers === 1) {
      this.now_ms = Date.now();
      this.timer = setInterval(() => (this.now_ms = Date.now()), 1000);
    }
    return () => {
      this.watchers -= 1;
      if (this.watchers === 0) clearInterval(this.timer);
    };
  }
}

export const clock = new Clock();
