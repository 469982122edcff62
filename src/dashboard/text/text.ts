/** The page's words in the language that is chosen: by the user, else by the browser. Decided once, when the page starts. */
import { en, type Text } from './en.ts'

const languageKey = 'mqtide-language'

export const languages: Readonly<Record<string, string>> = { en: en.name }

export let text: Text = en

export function languageInUse(): string {
  const chosen = localStorage.getItem(languageKey)
  if (chosen !== null && chosen in languages) return chosen
  return navigator.languages.map((tag) => tag.slice(0, 2)).find((tag) => tag in languages) ?? 'en'
}

/** The page starts anew: words are read while it is drawn. */
export function chooseLanguage(language: string): void {
  localStorage.setItem(languageKey, language)
  location.reload()
}

export async function loadText(): Promise<void> {
  text = en
  document.documentElement.lang = languageInUse()
}
