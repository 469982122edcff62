/** What tasks there are: the one thing that workers and those who enqueue have in common. */
export interface Tasks {
  resize(picture: { file: string; width: number }): { file: string; bytes: number }
  report(range: { of: string }): void
}
