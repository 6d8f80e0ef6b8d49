/**
 * Changes of fields that the administrator asks for: set, add, remove; checked and turned
 * into octets when the configuration is loaded.
 *
 * Invariant: no edit can end a line, frame a message or speak for a connection.
 */
import type { FieldSection } from './fields.js';
import { findName, hashName, isCertificateField, nameId, sameName } from './names.js';
import { octets, tokenLower, valueOctet } from './octets.js';

export type FieldEdit =
  | { readonly action: 'set' | 'add'; readonly name: string; readonly value: string }
  | { readonly action: 'remove'; readonly name: string };

const reserved: ReadonlySet<number> = new Set([
  nameId['content-length'],
  nameId['transfer-encoding'],
  nameId.connection,
  nameId['keep-alive'],
  nameId['proxy-connection'],
  nameId.te,
  nameId.trailer,
  nameId.upgrade,
]);

/** What is wrong with an edit, as a sentence, or null. */
export function editFault(edit: FieldEdit): string | null {
  const name = octets(edit.name);
  if (name.length === 0 || /[^!-~]/.test(edit.name) || name.some((c) => tokenLower[c] === 0)) {
    return `"${edit.name}" is not a field name: use letters, digits and "-".`;
  }
  const id = Math.abs(findName(name, 0, name.length, hashName(name, 0, name.length)));
  if (reserved.has(id) || isCertificateField(edit.name)) {
    return `the field ${edit.name} belongs to the connection, and Weir writes it itself.`;
  }
  if (name.length === 4 && edit.name.toLowerCase() === 'host' && edit.action !== 'set') {
    return 'a request has exactly one Host: it can be set, but not added or removed.';
  }
  if (edit.action === 'remove') return null;
  const value = Buffer.from(edit.value, 'utf8');
  if (value.some((c) => valueOctet[c] === 0)) {
    return `the value of ${edit.name} has a control character; remove it.`;
  }
  return null;
}

/** What is wrong with this proxy's name in Via (RFC 9110 §7.6.3: a pseudonym is a token), or null. */
export function viaFault(name: string): string | null {
  return /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}$/.test(name)
    ? null
    : `"${name}" cannot be a name in Via: use up to 64 letters, digits, "-", "." and "_".`;
}

export class Edits {
  /** Lines to write, each with its end. */
  readonly lines: Uint8Array;
  private readonly removed: readonly { readonly hash: number; readonly name: Uint8Array }[];

  /** Throws RangeError with the sentence of `editFault`: the schema asks that first. */
  constructor(edits: readonly FieldEdit[]) {
    let lines: { name: string; line: Buffer }[] = [];
    const removed: { hash: number; name: Uint8Array }[] = [];
    for (const edit of edits) {
      const fault = editFault(edit);
      if (fault !== null) throw new RangeError(fault);
      const name = octets(edit.name);
      if (edit.action !== 'add') removed.push({ hash: hashName(name, 0, name.length), name });
      const key = edit.name.toLowerCase();
      // A later edit speaks of what the earlier ones made, too.
      if (edit.action !== 'add') lines = lines.filter((line) => line.name !== key);
      if (edit.action !== 'remove') {
        const line = Buffer.from(`${edit.name}: ${edit.value.trim()}\r\n`, 'utf8');
        lines.push({ name: key, line });
      }
    }
    this.lines = Uint8Array.from(Buffer.concat(lines.map(({ line }) => line)));
    this.removed = removed;
  }

  /** Whether a field of a head goes (it was removed, or set to something else). */
  removes(head: FieldSection, bytes: Uint8Array, index: number): boolean {
    const hash = head.hashes[index] ?? 0;
    for (const { hash: other, name } of this.removed) {
      if (hash !== other) continue;
      const start = head.nameStart[index] ?? 0;
      if (sameName(bytes, start, head.nameEnd[index] ?? 0, name, 0, name.length)) return true;
    }
    return false;
  }

  /** Whether the edits speak of a name at all. */
  names(name: string): boolean {
    return this.removed.some(
      (one) => Buffer.from(one.name).toString('latin1').toLowerCase() === name,
    );
  }

  get empty(): boolean {
    return this.removed.length === 0 && this.lines.length === 0;
  }
}

export const noEdits = new Edits([]);
