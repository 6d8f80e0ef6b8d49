/**
 * An access log to syslog: RFC 5424 messages over a Unix datagram socket (`/dev/log`) or UDP
 * (RFC 5426), facility local0, severity informational.
 *
 * Invariants:
 * - One line is one message, without its line feed; whose head is ours alone.
 * - Sending never waits: what the collector has no room for is kept within bounds, then dropped
 *   and counted.
 */
import { hostname } from 'node:os';
import { parseEndpoint } from '../../config/addresses.js';
import { readAddress } from '../../config/address-codec.js';
import { DatagramSocket, type DatagramPeer } from '../../../native/ffi/datagram-socket.js';
import { octets } from '../http1/octets.js';
import { lineMost } from './access-line.js';
import { LineText } from './line-text.js';
import { because, type LogFigures, type LogOutput, type TellLog } from './log-output.js';

export interface LogSyslogOptions {
  /** A socket's path, or ADDRESS:PORT. */
  readonly to: string;
  /** HOSTNAME of the messages; default: the machine's. */
  readonly host?: string;
  /** Octets of messages that wait. */
  readonly memory?: number;
  /** Milliseconds until it tries again: after a trouble, and when there was no room. */
  readonly retry?: number;
  readonly pause?: number;
  readonly tell: TellLog;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** local0 (16) · 8 + informational (6), version 1. */
const priority = octets('<134>1 ');
const mostHead = 512;
/** A collector that refuses now and then is well only when it was silent about it for so long. */
const wellAfter = 5000;

/** Throws RangeError when it is neither a path nor an address with a port. */
export function syslogPeer(to: string): DatagramPeer {
  if (to.startsWith('/')) return { path: to };
  const endpoint = parseEndpoint(to);
  const address = endpoint.ok ? readAddress(endpoint.value.address) : null;
  if (!endpoint.ok || address === null || endpoint.value.port === 0) {
    throw new RangeError(`"${to}" is no socket's path and no ADDRESS:PORT`);
  }
  return { family: address.family, address: address.bytes, port: endpoint.value.port };
}

export class LogSyslog implements LogOutput {
  readonly to: string;
  private readonly peer: DatagramPeer;
  private readonly most: number;
  private readonly retry: number;
  private readonly pause: number;
  private readonly tell: TellLog;
  private readonly now: () => number;
  private readonly origin: Uint8Array;
  private readonly message = new Uint8Array(lineMost + mostHead);
  private readonly text = new LineText(this.message);
  private readonly moment = new Float64Array(1);
  private socket: DatagramSocket | null = null;
  private waiting: Uint8Array[] = [];
  private held = 0;
  private timer: NodeJS.Timeout | null = null;
  private trouble: string | null = null;
  private troubleAt = 0;
  private resting = false;
  private lines = 0;
  private dropped = 0;

  constructor(options: LogSyslogOptions) {
    this.to = options.to;
    this.peer = syslogPeer(options.to);
    this.most = options.memory ?? 4 * 1024 * 1024;
    this.retry = options.retry ?? 1000;
    this.pause = options.pause ?? 20;
    this.tell = options.tell;
    this.now = options.now ?? Date.now;
    // RFC 5424 §6.2.4: printable ASCII, 255 at most.
    const host = (options.host ?? hostname()).replaceAll(/[^!-~]/g, '_').slice(0, 255) || '-';
    this.origin = octets(` ${host} weir ${process.pid} access - `);
  }

  get figures(): LogFigures {
    return { lines: this.lines, dropped: this.dropped };
  }

  write(bytes: Uint8Array, start: number, end: number): boolean {
    const message = this.frame(bytes, start, end);
    if (this.waiting.length > 0 || this.timer !== null) return this.wait(message);
    const outcome = this.attempt(message);
    if (outcome === 'later') return this.wait(message);
    return this.count(outcome === 'sent');
  }

  /** Lines come again: it stays open. */
  wake(): void {
    this.resting = false;
  }

  rest(): void {
    this.resting = true;
    if (this.waiting.length === 0) this.leave();
  }

  async close(): Promise<void> {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.send();
    // That may have set another.
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.dropped += this.waiting.length;
    this.lines -= this.waiting.length;
    this.waiting = [];
    this.held = 0;
    this.leave();
  }

  /** A window that the next line overwrites. */
  private frame(bytes: Uint8Array, start: number, end: number): Uint8Array {
    const { text } = this;
    text.start();
    text.raw(priority);
    this.moment[0] = this.now();
    text.time(this.moment);
    text.raw(this.origin);
    const last = end > start && bytes[end - 1] === 0x0a ? end - 1 : end;
    const line = bytes.subarray(start, Math.min(last, start + lineMost));
    text.raw(line);
    return this.message.subarray(0, text.at);
  }

  private count(sent: boolean): boolean {
    if (sent) this.lines += 1;
    else this.dropped += 1;
    return sent;
  }

  private wait(message: Uint8Array): boolean {
    if (this.held + message.length > this.most) return this.count(false);
    this.waiting.push(message.slice());
    this.held += message.length;
    this.later(this.trouble === null ? this.pause : this.retry);
    return this.count(true);
  }

  private later(milliseconds: number): void {
    if (this.timer !== null) return;
    this.timer = setTimeout(() => {
      this.timer = null;
      this.send();
      if (this.resting && this.waiting.length === 0) this.leave();
    }, milliseconds);
    this.timer.unref();
  }

  /** Sends what waits, as far as there is room. */
  private send(): void {
    let gone = 0;
    for (const message of this.waiting) {
      const outcome = this.attempt(message);
      if (outcome === 'later') break;
      if (outcome === 'never') {
        this.lines -= 1;
        this.dropped += 1;
      }
      this.held -= message.length;
      gone += 1;
    }
    this.waiting.splice(0, gone);
    if (this.waiting.length > 0) this.later(this.trouble === null ? this.pause : this.retry);
  }

  /** `never`: this message cannot be sent at all. */
  private attempt(message: Uint8Array): 'sent' | 'later' | 'never' {
    try {
      this.socket ??= new DatagramSocket(this.peer);
      if (!this.socket.send(message)) return 'later';
      this.good();
      return 'sent';
    } catch (error) {
      if (because(error).code === 'EMSGSIZE') return 'never';
      this.leave();
      this.bad(error);
      return 'later';
    }
  }

  private leave(): void {
    const { socket } = this;
    this.socket = null;
    socket?.close();
  }

  private good(): void {
    if (this.trouble === null || this.now() - this.troubleAt < wellAfter) return;
    this.trouble = null;
    this.tell(
      'well',
      `Syslog at ${this.to} takes the access log again; ${this.dropped} lines were dropped since the start.`,
    );
  }

  private bad(error: unknown): void {
    const { code, words } = because(error);
    this.troubleAt = this.now();
    if (this.trouble === code) return;
    this.trouble = code;
    const nobody = code === 'ENOENT' || code === 'ECONNREFUSED';
    this.tell(
      'trouble',
      nobody
        ? `The access log cannot be sent to syslog at ${this.to}: nobody listens there. Start the collector; until then lines are dropped.`
        : `The access log cannot be sent to syslog at ${this.to}: ${words}.`,
    );
  }
}
