/**
 * Writes a tar archive (POSIX.1-2017, ustar) of files in memory.
 *
 * Invariant: names are plain ASCII of at most 100 bytes, as the caller makes them.
 */
const BLOCK = 512;

export interface TarFile {
  readonly name: string;
  readonly content: Buffer;
}

/** `time`: of all files, milliseconds since 1970. */
export function tar(files: readonly TarFile[], time: number): Buffer {
  const pieces: Buffer[] = [];
  for (const { name, content } of files) {
    if (!/^[\x21-\x7e]{1,100}$/.test(name))
      throw new RangeError(`${name} is no name in an archive`);
    const head = Buffer.alloc(BLOCK);
    const octal = (value: number, at: number, digits: number): void => {
      head.write(value.toString(8).padStart(digits, '0'), at, 'latin1');
    };
    head.write(name, 0, 'latin1');
    octal(0o600, 100, 7);
    octal(0, 108, 7);
    octal(0, 116, 7);
    octal(content.length, 124, 11);
    octal(Math.floor(time / 1000), 136, 11);
    head.write('        ', 148, 'latin1');
    head.write('0', 156, 'latin1');
    head.write('ustar\x0000', 257, 'latin1');
    octal(
      head.reduce((sum, byte) => sum + byte, 0),
      148,
      6,
    );
    head[154] = 0;
    head[155] = 0x20;
    const rest = (BLOCK - (content.length % BLOCK)) % BLOCK;
    pieces.push(head, content, Buffer.alloc(rest));
  }
  return Buffer.concat([...pieces, Buffer.alloc(2 * BLOCK)]);
}
