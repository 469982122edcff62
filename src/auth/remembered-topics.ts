/**
 * How much is remembered of the topics that rules were asked about. Clients choose them, 65,535 bytes each where they like, also
 * those that they are refused, so there is one limit for all clients together; at it everything is forgotten.
 *
 * Topics that come by once would push out those that come again and again; starting afresh costs the latter one look each.
 */
export const charactersRememberedMax = 16 * 1024 * 1024
/** Roughly what a string and an entry in a map take besides the characters. */
const charactersAround = 64

export interface RemembersTopics {
  forgetTopics(): void
}

export class RememberedTopics {
  characters = 0
  /** Who remembers any. */
  readonly #holders = new Set<RemembersTopics>()

  /** To be called before one more is remembered. */
  add(holder: RemembersTopics, topic: string): void {
    const characters = topic.length + charactersAround
    if (this.characters + characters > charactersRememberedMax) this.forget()
    this.characters += characters
    this.#holders.add(holder)
  }

  forget(): void {
    for (const holder of this.#holders) holder.forgetTopics()
    this.#holders.clear()
    this.characters = 0
  }
}
