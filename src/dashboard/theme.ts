/** Light or dark: as the system says, unless somebody chose. The choice is an attribute that the style sheet reads. */
export const themes = ['system', 'light', 'dark'] as const
export type Theme = (typeof themes)[number]

const themeKey = 'mqtide-theme'

export function themeInUse(): Theme {
  const chosen = localStorage.getItem(themeKey)
  return themes.find((theme) => theme === chosen) ?? 'system'
}

export function chooseTheme(theme: string): void {
  localStorage.setItem(themeKey, theme)
  applyTheme()
}

export function applyTheme(): void {
  const theme = themeInUse()
  if (theme === 'system') document.documentElement.removeAttribute('data-theme')
  else document.documentElement.setAttribute('data-theme', theme)
}
