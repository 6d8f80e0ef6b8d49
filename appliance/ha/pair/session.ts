/**
 * What is between a run of this daemon and a run of the other's, over all links: messages on channels,
 * delivered once and in order, each acknowledged. All of them go over one link at a time; when that is
 * lost, what was not acknowledged goes over another.
 *
 * Invariant: messages are numbered from 1 in a session, and a new run of the other daemon begins a new
 * session: whoever waits for an acknowledgement of the former one hears that. A run that is older than
 * the latest is refused. What waits is bounded.
 */
import type { TLSSocket } from 'node:tls';
import type { RefusalCounts } from './counts.js';
import { FrameSocket } from './frame-socket.js';
import { MESSAGE_LIMIT, numbers } from './frames.js';
import { Link, type LinkListener, type LinkTiming } from './link.js';
import { CHANNEL, encodeMessage, type Hello, type Message } from './messages.js';

/** What may wait for acknowledgement. */
const WAITING_MESSAGES = 4096;
const WAITING_BYTES = 8 << 20;

/** Why a message was not (surely) delivered. */
export class UndeliveredError extends Error {
  override readonly name = 'UndeliveredError';
  readonly code: 'restarted' | 'left' | 'full' | 'alone';

  constructor(code: UndeliveredError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

export interface SessionOptions {
  /** Of this run of the daemon. */
  readonly epoch: number;
  readonly counts: RefusalCounts;
  readonly timing: LinkTiming;
  readonly onUp: (address: string) => void;
  /** Of a link that was up, or of an attempt. */
  readonly onDown: (address: string, reason: string, wasUp: boolean) => void;
  /** The other unit has left the pair. */
  readonly onLeft: () => void;
  readonly onListenerError: (error: unknown) => void;
}

interface Waiting {
  readonly number: number;
  readonly payload: Buffer;
  readonly resolve: () => void;
  readonly reject: (error: UndeliveredError) => void;
}

/** What those who exchange something need of a session. */
export interface SessionChannel {
  readonly links: readonly unknown[];
  send(channel: string, body: Buffer): Promise<void>;
  on(channel: string, listener: (body: Buffer) => void): () => void;
}

export class Session implements LinkListener {
  readonly #options: SessionOptions;
  readonly #links = new Set<Link>();
  readonly #channels = new Map<string, (body: Buffer) => void>();
  /** Oldest first. */
  #outbox: Waiting[] = [];
  #outboxBytes = 0;
  #sent = 0;
  #active: Link | null = null;
  #received: Hello['received'] = { epoch: 0, message: 0 };
  #ended = false;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /** The run of the other daemon that was heard last; 0: none yet. */
  get peerEpoch(): number {
    return this.#received.epoch;
  }

  /** Those that are up. */
  get links(): readonly Link[] {
    return [...this.#links].filter(({ up }) => up);
  }

  /** The link that messages go over now. */
  get active(): Link | null {
    return this.#active;
  }

  get unacknowledged(): number {
    return this.#outbox.length;
  }

  /** A connection whose other end has proved to be the other unit. */
  attach(socket: TLSSocket, address: string): Link {
    const { epoch, counts, timing } = this.#options;
    const link = new Link(
      address,
      new FrameSocket(socket, epoch, counts),
      this.#received,
      this,
      timing,
    );
    this.#links.add(link);
    return link;
  }

  /**
   * Resolves when the other daemon has delivered it to whoever hears the channel there. While all links
   * are lost it waits, if this run of the other daemon was ever heard.
   *
   * @throws UndeliveredError, RangeError for a channel or body that cannot be sent
   */
  send(channel: string, body: Buffer): Promise<void> {
    if (!CHANNEL.test(channel)) throw new RangeError(`no name of a channel: ${channel}`);
    if (body.length > MESSAGE_LIMIT) throw new RangeError(`a message of ${body.length} bytes`);
    if (this.#ended) return rejected('left', 'The pair is no more.');
    if (this.#received.epoch === 0) return rejected('alone', 'The other unit was not reached yet.');
    if (
      this.#outbox.length >= WAITING_MESSAGES ||
      this.#outboxBytes + body.length > WAITING_BYTES
    ) {
      return rejected('full', 'Too much waits for the other unit.');
    }
    return new Promise((resolve, reject) => {
      this.#sent += 1;
      const payload = encodeMessage({ number: this.#sent, channel, body });
      this.#outbox.push({ number: this.#sent, payload, resolve, reject });
      this.#outboxBytes += payload.length;
      this.#active?.send('data', payload);
    });
  }

  /** Hears a channel, alone. The body is the listener's. Returns what ends that. */
  on(channel: string, listener: (body: Buffer) => void): () => void {
    if (this.#channels.has(channel)) throw new RangeError(`${channel} is heard already`);
    this.#channels.set(channel, listener);
    return () => this.#channels.delete(channel);
  }

  /** Ends all links; `bye`: tells the other unit that this one has left the pair. */
  end(bye: boolean): void {
    this.#ended = true;
    for (const link of [...this.#links]) {
      if (bye && link.up) {
        link.send('bye', Buffer.alloc(0));
        link.finish('this unit has left the pair');
      } else {
        link.close('this unit closed it');
      }
    }
    this.#giveUp('left', 'The pair is no more.');
  }

  greeted(link: Link, { received }: Hello, epoch: number): void {
    if (epoch < this.#received.epoch || epoch === 0) {
      link.refuse('stale', 'refused: a former run of the other daemon');
      return;
    }
    const ours = received.epoch === this.#options.epoch;
    const known = epoch === this.#received.epoch;
    if (
      received.epoch > this.#options.epoch ||
      (ours && received.message > (known ? this.#sent : 0))
    ) {
      link.refuse('malformed', 'refused: it acknowledges what was never sent');
      return;
    }
    link.raise();
    if (!known) this.#begin(link, epoch);
    for (const other of [...this.#links]) {
      // The other unit dials anew what it has lost.
      if (other !== link && other.address === link.address) other.close('replaced by a new one');
    }
    if (ours) this.#settle(received.message);
    this.#options.onUp(link.address);
    if (this.#active === null) this.#use(link);
  }

  message(link: Link, { number, channel, body }: Message): void {
    const next = this.#received.message + 1;
    if (number > next) {
      link.refuse('malformed', `refused: message ${number} where ${next} is due`);
      return;
    }
    if (number < next) this.#options.counts.repeated += 1;
    else {
      this.#received = { ...this.#received, message: number };
      this.#deliver(channel, body);
    }
    link.send('ack', numbers(this.#received.epoch, this.#received.message));
  }

  acknowledged(link: Link, epoch: number, number: number): void {
    if (epoch < this.#options.epoch) {
      link.refuse('stale', 'refused: an acknowledgement for a former run of this daemon');
    } else if (epoch > this.#options.epoch || number > this.#sent) {
      link.refuse('malformed', 'refused: it acknowledges what was never sent');
    } else this.#settle(number);
  }

  left(): void {
    this.#options.onLeft();
  }

  closed(link: Link, reason: string): void {
    this.#links.delete(link);
    if (this.#active === link) {
      this.#active = null;
      const [best] = this.links.toSorted((a, b) => (a.rtt ?? Infinity) - (b.rtt ?? Infinity));
      if (best !== undefined) this.#use(best);
    }
    this.#options.onDown(link.address, reason, link.up);
  }

  /** A run of the other daemon that was not heard of before. */
  #begin(link: Link, epoch: number): void {
    this.#received = { epoch, message: 0 };
    this.#sent = 0;
    this.#giveUp('restarted', 'The other daemon was restarted.');
    this.#active = null;
    for (const other of [...this.#links]) {
      if (other !== link && other.up) other.close('the other daemon was restarted');
    }
  }

  #use(link: Link): void {
    this.#active = link;
    for (const { payload } of this.#outbox) link.send('data', payload);
  }

  #settle(number: number): void {
    const settled = this.#outbox.findIndex((waiting) => waiting.number > number);
    const done = this.#outbox.splice(0, settled === -1 ? this.#outbox.length : settled);
    for (const { payload, resolve } of done) {
      this.#outboxBytes -= payload.length;
      resolve();
    }
  }

  #giveUp(code: UndeliveredError['code'], message: string): void {
    const waiting = this.#outbox;
    this.#outbox = [];
    this.#outboxBytes = 0;
    for (const { reject } of waiting) reject(new UndeliveredError(code, message));
  }

  #deliver(channel: string, body: Buffer): void {
    const listener = this.#channels.get(channel);
    if (listener === undefined) {
      this.#options.counts.unheard += 1;
      return;
    }
    try {
      listener(body);
    } catch (error) {
      this.#options.onListenerError(error);
    }
  }
}

function rejected(code: UndeliveredError['code'], message: string): Promise<never> {
  return Promise.reject(new UndeliveredError(code, message));
}
