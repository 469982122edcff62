/**
 * `mqtide passwd`: adds, changes and deletes users in a password file, with mosquitto_passwd's options and questions.
 */
import { existsSync, readFileSync } from 'node:fs'
import { type Command, Option } from 'commander'
import { parsePasswordFile, passwordBytesMax, userNameFault } from '../auth/password-file.ts'
import { replaceFile, whileAlone, withoutUser, withUser } from '../auth/password-file-edit.ts'
import { type HashKind, newPasswordHash, parsePasswordHash } from '../auth/password-hash.ts'
import { type CliContext, CliError, ExitCode } from './context.ts'
import { askPassword } from './password-prompt.ts'

interface Flags {
  create?: boolean
  batch?: boolean
  delete?: boolean
  update?: boolean
  scram?: boolean
  hash: Exclude<HashKind, 'scram-sha-256'>
}

const help = `
A line of the file is NAME:HASH. Files of mosquitto_passwd can be used and changed as they are.
With -b the password can be seen in the list of processes while the command runs; without it, it is asked for.
A gateway that runs takes the changed file with SIGHUP.
`

export function registerPasswd(program: Command, context: CliContext): void {
  program
    .command('passwd')
    .description('add, change or delete a user in a password file')
    .argument('<file>', 'password file')
    .argument('[user]', 'user name')
    .argument('[password]', 'password, with -b')
    .option('-c, --create', 'make a new file; an old one is overwritten')
    .option('-b, --batch', 'take the password from the command line')
    .option('-D, --delete', 'delete the user instead')
    .option('-U, --update', 'hash the plain passwords of a file of lines NAME:PASSWORD')
    .option('--scram', 'store a SCRAM-SHA-256 verifier, which serves enhanced authentication and passwords')
    .addOption(
      new Option('-H, --hash <kind>', 'kind of hash; sha512-pbkdf2 and sha512 are those that Mosquitto 2.0 reads')
        .choices(['scrypt', 'argon2id', 'sha512-pbkdf2', 'sha512'])
        .default('scrypt'),
    )
    .addHelpText('after', help)
    .action((file: string, user: string | undefined, password: string | undefined, flags: Flags) =>
      passwd({ file, user, password }, flags, context),
    )
}

interface Words {
  file: string
  user: string | undefined
  password: string | undefined
}

async function passwd({ file, user, password }: Words, flags: Flags, context: CliContext): Promise<void> {
  checkFlags(user, password, flags)
  if (flags.update) {
    await hashPlainPasswords(file, kindOf(flags))
    return
  }
  const name = user!
  const fault = userNameFault(name)
  if (fault !== undefined) throw new CliError(fault, ExitCode.usage)
  // Its faults are told before anybody is asked for a password.
  if (!flags.create) readUsers(file)
  if (flags.delete) {
    whileAlone(file, () => {
      const kept = withoutUser(readUsers(file), name)
      if (kept === undefined) throw new CliError(`${file}: there is no user ${name}`)
      replaceFile(file, kept)
    })
    return
  }
  const plain = password ?? (await askPassword(context))
  const hash = await newPasswordHash(kindOf(flags), passwordBytes(plain))
  // It may be another file than before the password was typed and hashed.
  whileAlone(file, () => replaceFile(file, withUser(flags.create ? '' : readUsers(file), name, hash)))
}

function checkFlags(user: string | undefined, password: string | undefined, flags: Flags): void {
  const usage = (message: string) => new CliError(message, ExitCode.usage)
  if (flags.create && flags.delete) throw usage('-c and -D exclude each other')
  if (flags.update) {
    if (user !== undefined || flags.create || flags.delete) throw usage('-U needs the file alone')
    return
  }
  if (user === undefined) throw usage('passwd needs a user name')
  if (flags.batch && !flags.delete && password === undefined) throw usage('-b needs a password')
  if (!flags.batch && password !== undefined) throw usage('a password on the command line needs -b')
}

function kindOf({ scram, hash }: Flags): HashKind {
  return scram ? 'scram-sha-256' : hash
}

function readUsers(file: string): string {
  if (!existsSync(file)) throw new CliError(`${file}: there is no such file; -c makes a new one`)
  const text = readText(file)
  // A file that has faults is not made better by another line.
  parsePasswordFile(text, file)
  return text
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new CliError((error as Error).message)
  }
}

function passwordBytes(password: string): Uint8Array {
  const bytes = new TextEncoder().encode(password)
  if (bytes.length === 0) throw new CliError('the password is empty')
  if (bytes.length > passwordBytesMax) throw new CliError(`the password is longer than ${passwordBytesMax} bytes`)
  return bytes
}

/** Lines that hold a hash already stay as they are. */
async function hashPlainPasswords(file: string, kind: HashKind): Promise<void> {
  let text = readText(file)
  for (const line of text.split(/\r?\n/)) {
    const colon = line.indexOf(':')
    if (colon === -1 || line.startsWith('#') || isHash(line.slice(colon + 1).trim())) continue
    const name = line.slice(0, colon).trim()
    const fault = userNameFault(name)
    if (fault !== undefined) throw new CliError(`${file}: ${fault}`)
    text = withUser(text, name, await newPasswordHash(kind, passwordBytes(line.slice(colon + 1).trim())))
  }
  parsePasswordFile(text, file)
  replaceFile(file, text)
}

function isHash(text: string): boolean {
  try {
    parsePasswordHash(text)
    return true
  } catch {
    return false
  }
}
