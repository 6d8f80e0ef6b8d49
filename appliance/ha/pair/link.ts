/**
 * One authenticated connection between the units: a greeting, heartbeats with their round-trip time, and
 * messages in between.
 *
 * Invariant: nothing but a greeting is taken first, and no message before the session took the greeting.
 */
import { hrtime } from 'node:process';
import { clockDifference, type ClockDifference } from './clock.js';
import type { FrameSocket } from './frame-socket.js';
import { FRAME_LIMIT, FrameError, numberAt, numbers, type Frame } from './frames.js';
import {
  decodeJson,
  decodeMessage,
  encodeJson,
  helloSchema,
  PROTOCOL_VERSION,
  refusedSchema,
  type Hello,
  type Message,
} from './messages.js';

export interface LinkTiming {
  /** Between heartbeats, milliseconds. */
  readonly heartbeatMs: number;
  /** Silence after which the link counts as lost; also the longest that a greeting may take. */
  readonly silenceMs: number;
}

export const LINK_TIMING: LinkTiming = { heartbeatMs: 500, silenceMs: 2000 };

export interface LinkListener {
  /** Raises the link, or refuses it. */
  greeted(link: Link, hello: Hello, epoch: number): void;
  message(link: Link, message: Message): void;
  acknowledged(link: Link, epoch: number, number: number): void;
  left(link: Link): void;
  closed(link: Link, reason: string): void;
}

export class Link {
  /** The inviter's address on it, which is its name on both units. */
  readonly address: string;
  readonly #frames: FrameSocket;
  readonly #listener: LinkListener;
  readonly #timing: LinkTiming;
  readonly #beat: NodeJS.Timeout;
  #up = false;
  #heardAt: number;
  #rtt: number | null = null;
  #clock: ClockDifference | null = null;

  constructor(
    address: string,
    frames: FrameSocket,
    received: Hello['received'],
    listener: LinkListener,
    timing: LinkTiming,
  ) {
    this.address = address;
    this.#frames = frames;
    this.#listener = listener;
    this.#timing = timing;
    this.#heardAt = now();
    this.#beat = setInterval(() => {
      this.#tick();
    }, timing.heartbeatMs);
    frames.listen({
      frame: (frame) => {
        this.#hear(frame);
      },
      closed: (reason) => {
        clearInterval(this.#beat);
        listener.closed(this, reason);
      },
    });
    frames.send('hello', encodeJson({ version: PROTOCOL_VERSION, received } satisfies Hello));
  }

  /** Whether both have greeted. */
  get up(): boolean {
    return this.#up;
  }

  /** Of the last heartbeat, in milliseconds; null before the first. */
  get rtt(): number | null {
    return this.#rtt;
  }

  /** How far the other unit's clock is ahead, by the last heartbeat; null before the first. */
  get clock(): ClockDifference | null {
    return this.#clock;
  }

  /** The other daemon's greeting was taken. */
  raise(): void {
    this.#up = true;
    this.#frames.allow(FRAME_LIMIT);
  }

  send(type: 'data' | 'ack' | 'bye', payload: Buffer): void {
    this.#frames.send(type, payload);
  }

  refuse(refusal: 'stale' | 'malformed', reason: string): void {
    this.#frames.refuse(refusal, reason);
  }

  close(reason: string): void {
    this.#frames.close(reason);
  }

  finish(reason: string): void {
    this.#frames.finish(reason);
  }

  #tick(): void {
    const silent = now() - this.#heardAt;
    if (silent >= this.#timing.silenceMs) {
      this.close(`silent for ${Math.round(silent)} ms`);
    } else if (this.#up) {
      this.#frames.send('ping', numbers(Number(hrtime.bigint() / 1000n)));
    }
  }

  #hear(frame: Frame): void {
    this.#heardAt = now();
    const { type, payload } = frame;
    if (!this.#up) {
      this.#greet(frame);
      return;
    }
    switch (type) {
      case 'ping':
        this.#frames.send('pong', numbers(exactly(payload, 1)[0], Date.now() * 1000));
        return;
      case 'pong': {
        const [sent, clock] = exactly(payload, 2);
        const rtt = roundTrip(sent);
        this.#rtt = rtt;
        this.#clock = clockDifference(clock / 1000, Date.now(), rtt);
        return;
      }
      case 'data':
        this.#listener.message(this, decodeMessage(payload));
        return;
      case 'ack':
        if (payload.length !== 16) throw new FrameError('an acknowledgement of another length');
        this.#listener.acknowledged(this, numberAt(payload, 0), numberAt(payload, 8));
        return;
      case 'bye':
        this.#listener.left(this);
        return;
      default:
        throw new FrameError(`${type} on a link that is up`);
    }
  }

  #greet({ type, payload, epoch }: Frame): void {
    if (type === 'refused') {
      const { reason } = decodeJson(refusedSchema, payload);
      this.close(
        reason === 'unknown'
          ? 'the other unit does not know this one (any more): run "weir pair leave" here'
          : `the other unit refused it (${reason})`,
      );
      return;
    }
    if (type !== 'hello') throw new FrameError(`${type} before a greeting`);
    const hello = decodeJson(helloSchema, payload);
    this.#listener.greeted(this, hello, epoch);
    if (this.#up) this.#frames.send('ping', numbers(Number(hrtime.bigint() / 1000n)));
  }
}

function now(): number {
  return performance.now();
}

/** @throws FrameError unless it is so many numbers */
function exactly(payload: Buffer, count: 1): [number];
function exactly(payload: Buffer, count: 2): [number, number];
function exactly(payload: Buffer, count: number): number[] {
  if (payload.length !== 8 * count) throw new FrameError('a heartbeat of another length');
  return Array.from({ length: count }, (_, index) => numberAt(payload, 8 * index));
}

function roundTrip(sentUs: number): number {
  const took = Number(hrtime.bigint() / 1000n) - sentUs;
  if (took < 0) throw new FrameError('a heartbeat that was not sent yet');
  return took / 1000;
}
