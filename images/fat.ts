/** A FAT volume in a file, made without mounting it; the same bytes in every build. */
import { command } from './command.js';

export interface FatOptions {
  readonly label: string;
  readonly mib: number;
  /** Dates its files, in seconds. */
  readonly epoch: number;
  /** Of its table's entries; left out: what fits its size. */
  readonly bits?: 32;
}

export class FatVolume {
  readonly #environment: Readonly<Record<string, string>>;

  constructor(
    readonly path: string,
    { label, mib, epoch, bits }: FatOptions,
  ) {
    this.#environment = { SOURCE_DATE_EPOCH: String(epoch) };
    command('mkfs.vfat', [
      ...['--invariant', ...(bits === undefined ? [] : [`-F${bits}`]), '-n', label],
      ...['-C', path, String(mib * 1024)],
    ]);
  }

  folders(...names: readonly string[]): void {
    this.#run(
      'mmd',
      names.map((name) => `::${name}`),
    );
  }

  put(source: string, target: string): void {
    this.#run('mcopy', [source, `::${target}`]);
  }

  #run(program: string, words: readonly string[]): void {
    command(program, ['-i', this.path, ...words], { environment: this.#environment });
  }
}
