/**
 * Makes an update bundle of a slot's file system and signs it.
 *
 *     node build/images/bundle.js --slot FILE --commit SHA --out FILE [--version V] [--minimum V] [--key FILE]
 *
 * The key is a private Ed25519 key in PEM, by --key or $WEIR_UPDATE_KEY. Without one a key of this
 * build tree is used, made in build/keys/ when it is not there: units that trust it are for development.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';
import {
  closeSync,
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { version as present } from '../appliance/api/version.js';
import { projectRoot } from '../appliance/paths.js';
import { type BundleHeader, encodeBundleHead } from '../appliance/system/slots/bundle.js';

export interface BundleRequest {
  readonly slot: string;
  readonly out: string;
  readonly version: string;
  readonly commit: string;
  readonly minimumVersion: string;
  readonly key: KeyObject;
}

/** The key of this build tree, made when absent; `publicKey` is what its images trust, PEM. */
export function developmentKey(folder = join(projectRoot, 'build/keys')): {
  readonly key: KeyObject;
  readonly publicKey: string;
} {
  const path = join(folder, 'update-development.pem');
  if (!existsSync(path)) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const made = generateKeyPairSync('ed25519').privateKey;
    const draft = `${path}.new`;
    rmSync(draft, { force: true });
    writeFileSync(draft, made.export({ type: 'pkcs8', format: 'pem' }), {
      mode: 0o600,
      flag: 'wx',
    });
    renameSync(draft, path);
  }
  return withPublic(createPrivateKey(readFileSync(path)));
}

/** That of the environment or of the command line, else of the build tree. */
export function updateKey(path: string | undefined = process.env.WEIR_UPDATE_KEY): {
  readonly key: KeyObject;
  readonly publicKey: string;
} {
  if (path === undefined || path === '') return developmentKey();
  return withPublic(createPrivateKey(readFileSync(path)));
}

function withPublic(key: KeyObject): { readonly key: KeyObject; readonly publicKey: string } {
  return {
    key,
    publicKey: createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString(),
  };
}

/** Writes the bundle; it has its name when it is whole. Resolves to its header. */
export async function makeBundle({
  slot,
  out,
  key,
  ...what
}: BundleRequest): Promise<BundleHeader> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(slot, { highWaterMark: 1 << 20 }), hash);
  const header: BundleHeader = {
    ...what,
    slot: { size: statSync(slot).size, sha256: hash.digest('hex') },
  };
  const head = encodeBundleHead(header, key);
  const draft = `${out}.new`;
  closeSync(openSync(draft, 'w', 0o644));
  writeFileSync(draft, head);
  await pipeline(
    createReadStream(slot, { highWaterMark: 1 << 20 }),
    createWriteStream(draft, { flags: 'a' }),
  );
  renameSync(draft, out);
  return header;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      slot: { type: 'string' },
      out: { type: 'string' },
      commit: { type: 'string' },
      version: { type: 'string', default: present() },
      minimum: { type: 'string', default: '0.1.0' },
      key: { type: 'string' },
    },
  });
  const { slot, out, commit, version, minimum } = values;
  if (slot === undefined || out === undefined || commit === undefined) {
    throw new Error('Give --slot FILE, --commit SHA and --out FILE.');
  }
  const { key } = updateKey(values.key);
  const header = await makeBundle({ slot, out, version, commit, minimumVersion: minimum, key });
  process.stdout.write(`${out}: version ${header.version}, slot of ${header.slot.size} octets\n`);
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await main();
}
