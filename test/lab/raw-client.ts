/**
 * A client that says bytes and hears bytes, for what no well-behaved client does.
 *
 * Invariant: whoever waits is told in the end: what came, or what was missing.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** Longest wait for an answer, in milliseconds: no test is decided by it. */
const limit = 20_000;

export class RawClient {
  /** All that came, a character an octet. */
  received = '';
  ended = false;
  error: NodeJS.ErrnoException | null = null;
  private readonly waiting = new Set<() => void>();

  private constructor(readonly socket: Socket) {
    socket.on('data', (bytes) => {
      this.received += bytes.toString('latin1');
      this.wake();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.error = error;
    });
    socket.once('end', () => {
      this.ended = true;
      this.wake();
    });
    socket.once('close', () => {
      this.ended = true;
      this.wake();
    });
  }

  static async connect(port: number, address: string): Promise<RawClient> {
    const socket = connect({ port, host: address, noDelay: true, allowHalfOpen: true });
    await once(socket, 'connect');
    return new RawClient(socket);
  }

  /** Asks once, and returns all that came until the other side ended the connection. */
  static async ask(port: number, address: string, text: string): Promise<string> {
    const client = await RawClient.connect(port, address);
    try {
      client.write(text);
      return await client.end();
    } finally {
      client.close();
    }
  }

  write(text: string): void {
    this.socket.write(text, 'latin1');
  }

  /** What has come, once it matches. */
  until(pattern: RegExp): Promise<string> {
    return this.wait(String(pattern), () => pattern.test(this.received));
  }

  /** What has come, once the other side has ended. */
  end(): Promise<string> {
    return this.wait('the end', () => this.ended);
  }

  close(): void {
    this.socket.destroy();
  }

  private async wait(what: string, done: () => boolean): Promise<string> {
    await new Promise<void>((resolve, reject) => {
      const fail = (why: string): void => {
        clearTimeout(late);
        this.waiting.delete(look);
        reject(new Error(`expected ${what}, ${why}: ${JSON.stringify(this.received)}`));
      };
      const look = (): void => {
        if (done()) {
          clearTimeout(late);
          this.waiting.delete(look);
          resolve();
        } else if (this.ended) fail(`but the connection ended (${this.error?.code ?? 'orderly'})`);
      };
      const late = setTimeout(() => {
        fail(`not seen within ${limit / 1000} s`);
      }, limit);
      this.waiting.add(look);
      look();
    });
    return this.received;
  }

  private wake(): void {
    for (const look of [...this.waiting]) look();
  }
}
