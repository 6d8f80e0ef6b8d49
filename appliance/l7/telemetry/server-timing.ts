/**
 * The value of Server-Timing (W3C Server Timing §2): how long Weir and the member took until the
 * head of the answer, in milliseconds.
 */
import { octets } from '../http1/octets.js';
import type { Writer } from '../http1/writer.js';

const ours = octets('weir;dur=');
const theirs = octets(', member;dur=');
const DOT = 0x2e;

/** Whole microseconds; a negative `memberMicros`: no member was asked. */
export function writeServerTiming(writer: Writer, weirMicros: number, memberMicros: number): void {
  writer.all(ours);
  writeMillis(writer, weirMicros);
  if (memberMicros < 0) return;
  writer.all(theirs);
  writeMillis(writer, memberMicros);
}

function writeMillis(writer: Writer, micros: number): void {
  const whole = micros > 0 ? Math.floor(micros) : 0;
  writer.decimal(Math.floor(whole / 1000));
  const rest = whole % 1000;
  writer.octet(DOT);
  writer.octet(0x30 + Math.floor(rest / 100));
  writer.octet(0x30 + (Math.floor(rest / 10) % 10));
  writer.octet(0x30 + (rest % 10));
}
