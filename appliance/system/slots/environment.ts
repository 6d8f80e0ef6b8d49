/**
 * GRUB's environment block, as `grub-editenv` and GRUB's `load_env` and `save_env` know it: a file of
 * 1024 octets that begins with "# GRUB Environment Block\n", then lines NAME=VALUE, filled up with "#".
 * Three variables say which slot boots:
 *
 *     default_slot  a or b: the slot that is known to be good
 *     try_slot      a or b: a slot on trial; empty: none
 *     tries         how often GRUB may still boot it; GRUB counts it down before each try
 *
 * Why a loss of power leaves the old or the new block, never a mixture: the file is neither cut,
 * nor made anew, nor renamed, so nothing of the file system changes but the sector that the variables
 * are in (and the time in the directory entry). All that may change is within the first 512 octets, the rest is "#" before
 * and after, and a disk writes a sector whole. GRUB itself writes by the list of the file's sectors,
 * which is another reason to keep the file where it is.
 */
import { closeSync, fsyncSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { UpgradeError } from './errors.js';

export const BLOCK_LENGTH = 1024;
const SECTOR = 512;
const SIGNATURE = '# GRUB Environment Block\n';
/** GRUB boots a slot on trial at most so often: once more than once, for a power cut that has nothing to do with it. */
export const TRIES = 2;

export const SLOTS = ['a', 'b'] as const;
export type Slot = (typeof SLOTS)[number];

export const otherSlot = (slot: Slot): Slot => (slot === 'a' ? 'b' : 'a');

/** What the boot loader is to do. */
export interface Choice {
  readonly good: Slot;
  readonly trial: Slot | null;
  /** 0 to `TRIES`; 0 without a trial. */
  readonly tries: number;
}

/** The variables of a block, in their order. @throws UpgradeError for what GRUB would not read */
export function parseBlock(block: Buffer): Map<string, string> {
  const text = block.toString('latin1');
  if (block.length !== BLOCK_LENGTH || !text.startsWith(SIGNATURE)) {
    throw new UpgradeError('disk', 'The environment block of the boot loader is damaged.');
  }
  const found = new Map<string, string>();
  for (const line of text.slice(SIGNATURE.length).split('\n').slice(0, -1)) {
    // GRUB's own warning, and whatever else is a comment.
    if (line.startsWith('#')) continue;
    const equals = line.indexOf('=');
    if (equals < 1)
      throw new UpgradeError(
        'disk',
        'The environment block of the boot loader has a line that is no variable.',
      );
    // GRUB writes a backslash before what would end a value.
    found.set(line.slice(0, equals), line.slice(equals + 1).replace(/\\(.)/g, '$1'));
  }
  return found;
}

/** @throws UpgradeError when the variables need more than a sector */
export function formatBlock(variables: ReadonlyMap<string, string>): Buffer {
  const lines = [...variables].map(
    ([name, value]) => `${name}=${value.replace(/[\\\n]/g, (sign) => `\\${sign}`)}\n`,
  );
  const text = SIGNATURE + lines.join('');
  if (text.length > SECTOR) {
    throw new UpgradeError(
      'disk',
      'The variables of the boot loader do not fit into a sector, so they could not be written whole at a loss of power.',
    );
  }
  return Buffer.from(text.padEnd(BLOCK_LENGTH, '#'), 'latin1');
}

export function choiceOf(variables: ReadonlyMap<string, string>): Choice {
  const good = slotOf(variables.get('default_slot'));
  const trial = slotOf(variables.get('try_slot'));
  const tries = Number(variables.get('tries') ?? 0);
  if (good === null) {
    throw new UpgradeError(
      'disk',
      'The boot loader does not know which slot is good (default_slot).',
    );
  }
  // GRUB compares texts: whatever is neither 1 nor 2 is no try.
  const valid = Number.isInteger(tries) && tries > 0 && tries <= TRIES;
  return { good, trial, tries: trial !== null && valid ? tries : 0 };
}

function slotOf(text: string | undefined): Slot | null {
  return text === 'a' || text === 'b' ? text : null;
}

/** @throws UpgradeError, or what reading throws */
export function readChoice(path: string): Choice {
  return choiceOf(parseBlock(readFileSync(path)));
}

/**
 * Writes the choice in place; on the disk when it returns. A block that is damaged is written anew,
 * since whoever asks for a choice knows all of it.
 *
 * @throws UpgradeError, or what writing throws
 */
export function writeChoice(path: string, { good, trial, tries }: Choice): void {
  const file = openSync(path, 'r+');
  try {
    const old = Buffer.alloc(BLOCK_LENGTH + 1);
    const length = readSync(file, old, 0, old.length, 0);
    let variables = new Map<string, string>();
    let whole = true;
    try {
      variables = parseBlock(old.subarray(0, length));
    } catch (error) {
      if (!(error instanceof UpgradeError)) throw error;
      whole = false;
    }
    variables.set('default_slot', good);
    variables.set('try_slot', trial ?? '');
    variables.set('tries', String(tries));
    const block = formatBlock(variables);
    const same = whole && old.subarray(SECTOR, BLOCK_LENGTH).equals(block.subarray(SECTOR));
    const octets = same ? block.subarray(0, SECTOR) : block;
    if (writeSync(file, octets, 0, octets.length, 0) !== octets.length) {
      throw new UpgradeError('disk', `${path} could not be written whole.`);
    }
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
