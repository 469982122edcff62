/**
 * Who the gateway takes this page for, and what that allows. The gateway decides each call anew; here it is only asked so that
 * the page shows what can be done and says what a token is needed for.
 */
import { createContext } from 'preact'
import { useContext } from 'preact/hooks'
import type { Identity } from '../api/schemas.ts'

export type { Identity } from '../api/schemas.ts'
export type Right = Identity['may'][number]

export const IdentityContext = createContext<Identity>({
  token: null,
  role: null,
  namespace: null,
  authentication: false,
  may: [],
  version: '',
  csrfToken: null,
})

export function useIdentity(): Identity {
  return useContext(IdentityContext)
}

export function useMay(right: Right): boolean {
  return useIdentity().may.includes(right)
}
