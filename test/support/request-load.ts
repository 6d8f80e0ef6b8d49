/** Clients that ask for as long as the test goes on, each again as soon as it has its answer. */
import { Agent } from 'node:http';
import { get } from './worker-stage.js';

/** Requests on kept and on new connections, until it is stopped. */
export class Load {
  requests = 0;
  readonly failures: string[] = [];
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 16 });
  readonly #clients: Promise<void>[];
  readonly #waiting: (() => void)[] = [];
  #going = true;

  /** `right`: what each answer has to be, its status and its body. */
  constructor(
    port: number,
    private readonly host = '127.0.0.1',
    private readonly right = /^200 [ab]$/,
  ) {
    const kept = Array.from({ length: 16 }, () => this.#ask(port, this.#agent));
    this.#clients = [...kept, ...Array.from({ length: 8 }, () => this.#ask(port))];
  }

  /** Resolves when so many more were answered. */
  async more(count: number): Promise<void> {
    const goal = this.requests + count;
    while (this.requests < goal && this.#going) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  async stop(): Promise<void> {
    this.#going = false;
    await Promise.all(this.#clients);
    this.#agent.destroy();
  }

  async #ask(port: number, agent?: Agent): Promise<void> {
    while (this.#going) {
      try {
        const answer = await get(port, agent, this.host);
        this.requests += 1;
        if (!this.right.test(answer)) this.failures.push(answer);
      } catch (error) {
        this.requests += 1;
        this.failures.push(String(error));
      }
      for (const wake of this.#waiting.splice(0)) wake();
    }
  }
}
