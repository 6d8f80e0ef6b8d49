/** A syslog collector at a Unix datagram socket, which node cannot be; it reads only when asked. */
import { setTimeout as sleep } from 'node:timers/promises';
import { bind, close, receive, SOCK_DGRAM, socket } from '../../native/ffi/libc.js';

export class UnixCollector {
  readonly #fd: number;
  readonly #buffer = Buffer.alloc(65_536);
  readonly #from = Buffer.alloc(128);

  constructor(path: string) {
    const address = Buffer.alloc(2 + Buffer.byteLength(path) + 1);
    address.writeUInt16LE(1, 0); // AF_UNIX
    address.write(path, 2);
    this.#fd = socket(1, SOCK_DGRAM, 0);
    bind(this.#fd, address);
  }

  /** Null: there is nothing. */
  read(): string | null {
    const length = receive(this.#fd, this.#buffer, this.#from);
    return length === null ? null : this.#buffer.subarray(0, length).toString();
  }

  /** Waits for the sender's timers. */
  async next(): Promise<string> {
    for (;;) {
      const one = this.read();
      if (one !== null) return one;
      await sleep(1);
    }
  }

  close(): void {
    close(this.#fd);
  }
}
