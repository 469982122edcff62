/** Asks for a new password twice, without showing it. From a pipe the two are two lines. */
import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { type CliContext, CliError } from './context.ts'

export async function askPassword({ stdin, stderr }: CliContext): Promise<string> {
  const isTerminal = (stdin as { isTTY?: boolean }).isTTY === true
  // What readline echoes goes nowhere; the questions are written past it.
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({ input: stdin, output: silent, terminal: isTerminal })
  const interrupted = new Promise<never>((_resolve, reject) => {
    lines.once('SIGINT', () => reject(new CliError('interrupted')))
  })
  // Whoever is not asked any more must not leave an unhandled rejection behind.
  interrupted.catch(() => {})
  const answers = lines[Symbol.asyncIterator]()
  const ask = async (question: string): Promise<string> => {
    stderr.write(question)
    const { value, done } = await Promise.race([answers.next(), interrupted])
    if (isTerminal) stderr.write('\n')
    if (done) throw new CliError('no password was given')
    return value
  }
  try {
    const password = await ask('Password: ')
    if (password === '') throw new CliError('the password is empty')
    if ((await ask('Reenter password: ')) !== password) throw new CliError('the passwords do not match')
    return password
  } finally {
    lines.close()
  }
}
