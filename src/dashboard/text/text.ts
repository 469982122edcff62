/** The page's words in the language that is chosen: by the user, else by the browser. Decided once, when the page starts. */
import { en, type Text } from './en.ts'

const languageKey = 'mqtide-language'

/** By their own names. */
export const languages: Readonly<Record<string, string>> = { en: 'English', de: 'Deutsch' }

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

/** Languages beside English are files of their own, loaded where they are wanted. */
export async function loadText(): Promise<void> {
  const language = languageInUse()
  text = language === 'de' ? (await import('./de.ts')).de : en
  document.documentElement.lang = language
}
