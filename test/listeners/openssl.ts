/** Certificates for tests, made by the openssl program in a folder of their own. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Issued {
  cert: string
  key: string
}

export interface Wanted {
  commonName: string
  /** As openssl writes them: `DNS:localhost`, `IP:127.0.0.1`, `email:a@b.example`. */
  names?: readonly string[]
  days?: number
}

/** One authority and what it issues. */
export class TestAuthority {
  readonly folder = mkdtempSync(join(tmpdir(), 'mqtide-certificates-'))
  readonly #openssl: string
  readonly ca: string
  readonly #key: string
  #issued = 0

  constructor(openssl: string) {
    this.#openssl = openssl
    this.ca = join(this.folder, 'ca.crt')
    this.#key = join(this.folder, 'ca.key')
    const subject = ['-subj', '/CN=Test authority', '-days', '2', '-addext', 'keyUsage=critical,keyCertSign,cRLSign']
    this.#run('req', '-x509', ...this.#newKey(this.#key), ...subject, '-out', this.ca)
    writeFileSync(this.#path('index.txt'), '')
    writeFileSync(this.#path('crlnumber'), '01\n')
    const database = `database = ${this.#path('index.txt')}\ncrlnumber = ${this.#path('crlnumber')}`
    writeFileSync(
      this.#path('ca.cnf'),
      `[ca]\ndefault_ca = d\n[d]\n${database}\ndefault_md = sha256\ndefault_crl_days = 1\n`,
    )
  }

  /** A certificate for a server or a client, with its key. `days` may be negative: it has expired. */
  issue({ commonName, names = [], days = 1 }: Wanted, as = `issued-${++this.#issued}`): Issued {
    const [cert, key, request, extensions] = ['crt', 'key', 'csr', 'ext'].map((ending) =>
      this.#path(`${as}.${ending}`),
    ) as [string, string, string, string]
    this.#run('req', '-new', ...this.#newKey(key), '-subj', `/CN=${commonName}`, '-out', request)
    writeFileSync(extensions, names.length > 0 ? `subjectAltName = ${names.join(',')}\n` : '')
    const signing = ['-CA', this.ca, '-CAkey', this.#key, '-CAcreateserial', '-extfile', extensions]
    const validity =
      days > 0 ? ['-days', String(days)] : ['-not_before', '20200101000000Z', '-not_after', '20200201000000Z']
    if (days > 0) this.#run('x509', '-req', '-in', request, ...signing, ...validity, '-out', cert)
    else this.#sign(request, cert)
    return { cert, key }
  }

  /** A list that revokes these certificates. */
  revoke(...certificates: readonly string[]): string {
    const common = ['-config', this.#path('ca.cnf'), '-cert', this.ca, '-keyfile', this.#key]
    for (const certificate of certificates) this.#run('ca', ...common, '-revoke', certificate)
    const list = this.#path('revoked.crl')
    this.#run('ca', ...common, '-gencrl', '-out', list)
    return list
  }

  /** `openssl ca` can set both dates; `openssl x509` can't before version 3.4. */
  #sign(request: string, cert: string): void {
    const policy = 'policy = p\nemail_in_dn = no\n[p]\ncommonName = supplied\n'
    writeFileSync(this.#path('serial'), `${(++this.#issued + 1000).toString(16).padStart(4, '0')}\n`)
    const database = `database = ${this.#path('index.txt')}\nserial = ${this.#path('serial')}\nnew_certs_dir = ${this.folder}`
    writeFileSync(this.#path('sign.cnf'), `[ca]\ndefault_ca = d\n[d]\n${database}\ndefault_md = sha256\n${policy}`)
    const dates = ['-startdate', '200101000000Z', '-enddate', '200201000000Z']
    const signing = ['-config', this.#path('sign.cnf'), '-cert', this.ca, '-keyfile', this.#key, '-batch', '-notext']
    this.#run('ca', ...signing, ...dates, '-in', request, '-out', cert)
  }

  #newKey(key: string): string[] {
    return ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key]
  }

  #path(name: string): string {
    return join(this.folder, name)
  }

  #run(...parameters: readonly string[]): void {
    execFileSync(this.#openssl, parameters, { stdio: 'pipe', cwd: this.folder })
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}
