/** Sentences for screen readers, spoken by one polite region. States and results only, never the text of an answer. */
class Announcer {
  text = $state('');

  say(text: string): void {
    // The same sentence twice in a row must count as new: a no-break space makes it differ unheard.
    this.text = text === this.text ? `${text}\u00a0` : text;
  }
}

export const announcer = new Announcer();
