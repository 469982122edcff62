/** The page's words in the language that is chosen: by the user, else by the browser. Decided once, when the page starts. */
import { en, type Text } from './en.ts'

const languageKey = 'mqtide-language'

/** By their own names. */
export const languages: Readonly<Record<string, string>> = { en: 'English', de: 'Deutsch', zh: '简体中文' }

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
  if (language === 'de') text = (await import('./de.ts')).de
  else if (language === 'zh') text = (await import('./zh.ts')).zh
  document.documentElement.lang = language
}
