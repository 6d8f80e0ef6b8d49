/** An archive for the kernel's initial RAM disk: cpio in the "newc" format, every file of root. */
export interface CpioEntry {
  readonly path: string;
  /** Type and permissions as in struct stat, such as 0o100644. */
  readonly mode: number;
  /** Content of a file, target of a symbolic link. */
  readonly content?: Buffer;
}

export const FILE = 0o100000;
export const FOLDER = 0o040000;
export const LINK = 0o120000;

function padded(bytes: Buffer): Buffer {
  const rest = (4 - (bytes.length % 4)) % 4;
  return rest === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(rest)]);
}

function record(entry: CpioEntry, number: number): Buffer[] {
  const content = entry.content ?? Buffer.alloc(0);
  const name = Buffer.from(`${entry.path}\0`);
  const fields = [
    ...[number, entry.mode, 0, 0, (entry.mode & FOLDER) === FOLDER ? 2 : 1, 0],
    ...[content.length, 0, 0, 0, 0, name.length, 0],
  ];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
  return [padded(Buffer.concat([Buffer.from(header), name])), padded(content)];
}

/** The folders above each entry are added; the order is that of the paths. */
export function cpio(entries: readonly CpioEntry[]): Buffer {
  const all = new Map<string, CpioEntry>();
  for (const entry of entries) {
    const parts = entry.path.split('/');
    for (let depth = 1; depth < parts.length; depth++) {
      const path = parts.slice(0, depth).join('/');
      if (!all.has(path)) all.set(path, { path, mode: FOLDER | 0o755 });
    }
    all.set(entry.path, entry);
  }
  const sorted = [...all.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
  const end = { path: 'TRAILER!!!', mode: 0 };
  return Buffer.concat([...sorted, end].flatMap((entry, index) => record(entry, index + 1)));
}
