/**
 * The head of a response: RFC 9112 §4 (status line) and what follows for framing and the
 * connection, which depends on the request that it answers.
 *
 * Invariant: as with requests, done means that the end of the body is beyond doubt. Any
 * fault of a response is answered to the client with 502.
 */
import { readResponseConnection, upgradeKind, type UpgradeKind } from './connection.js';
import { faults, progress, type Fault, type Progress } from './faults.js';
import { FieldSection, startStates } from './fields.js';
import { bodyKind, frameResponse, type BodyKind } from './framing.js';
import { defaultLimits, type Limits } from './limits.js';
import { method } from './methods.js';
import { CR, LF, SP, valueOctet } from './octets.js';
import { readVersion } from './version.js';

const at = {
  version: startStates,
  status: startStates + 1,
  reason: startStates + 2,
  lineLf: startStates + 3,
} as const;

export class ResponseHead extends FieldSection {
  /** 100 to 999. */
  status = 0;
  reasonStart = 0;
  reasonEnd = 0;
  minor = 1;
  body: BodyKind = bodyKind.none;
  length = 0;
  /** The head has a framing that its status forbids: the connection must not be used again. */
  doubtful = false;
  /** Whether the member lets the connection go on after this exchange. */
  persistent = true;
  /** What the request was, set by `reset`: the framing depends on it. */
  requestMethod: number = method.get;
  requestUpgrade: UpgradeKind = upgradeKind.none;

  private partStart = 0;
  private lineLimitAt = 0;

  constructor(readonly limits: Limits = defaultLimits) {
    super(limits.fields, limits.head);
  }

  /** The next response begins at `start`, and answers a request of this method and upgrade. */
  override reset(
    start: number,
    requestMethod: number = method.get,
    requestUpgrade: UpgradeKind = upgradeKind.none,
  ): void {
    super.reset(start);
    this.state = at.version;
    this.partStart = start;
    this.lineLimitAt = start + this.limits.line + 2;
    this.requestMethod = requestMethod;
    this.requestUpgrade = requestUpgrade;
    this.body = bodyKind.none;
    this.length = 0;
    this.doubtful = false;
  }

  override move(delta: number): void {
    super.move(delta);
    this.partStart += delta;
    this.lineLimitAt += delta;
    this.reasonStart += delta;
    this.reasonEnd += delta;
  }

  /** 1xx except 101: another head follows for the same request. */
  get interim(): boolean {
    return this.status < 200 && this.status !== 101;
  }

  override parse(bytes: Uint8Array, end: number): Progress {
    if (this.state >= startStates) {
      const result = this.parseLine(bytes, end);
      if (result !== progress.done) return result;
    }
    return super.parse(bytes, end);
  }

  private pauseLine(pos: number, state: number): Progress {
    this.pos = pos;
    this.state = state;
    return pos >= this.lineLimitAt ? this.refuse(faults.headTooLarge) : progress.more;
  }

  private parseLine(bytes: Uint8Array, available: number): Progress {
    const end = available < this.lineLimitAt ? available : this.lineLimitAt;
    let p = this.pos;
    let state = this.state;
    for (;;) {
      if (p >= end) return this.pauseLine(p, state);
      const c = bytes[p] ?? 0;
      switch (state) {
        case at.version: {
          const limit = this.partStart + 8;
          while (p < end && p < limit && (bytes[p] ?? 0) > SP && (bytes[p] ?? 0) < 0x7f) p += 1;
          if (p >= end) break;
          const minor = readVersion(bytes, this.partStart, p);
          if (minor === -2) return this.refuse(faults.versionUnknown);
          if (minor < 0) return this.refuse(faults.badVersion);
          if (bytes[p] !== SP) return this.refuse(faults.badStatus);
          this.minor = minor;
          p += 1;
          this.partStart = p;
          state = at.status;
          break;
        }
        case at.status: {
          const limit = this.partStart + 3;
          while (p < end && p < limit && (bytes[p] ?? 0) >= 0x30 && (bytes[p] ?? 0) <= 0x39) p += 1;
          if (p >= end) break;
          const fault = this.endStatus(bytes, p);
          if (fault !== null) return this.refuse(fault);
          state = bytes[p] === CR ? at.lineLf : at.reason;
          p += 1;
          this.reasonStart = p;
          this.reasonEnd = p;
          break;
        }
        case at.reason:
          while (p < end && valueOctet[bytes[p] ?? 0] !== 0) p += 1;
          if (p >= end) break;
          if (bytes[p] === LF) return this.refuse(faults.bareLf);
          if (bytes[p] !== CR) return this.refuse(faults.badValue);
          this.reasonEnd = p;
          p += 1;
          state = at.lineLf;
          break;
        default:
          if (c !== LF) return this.refuse(faults.bareCr);
          this.pos = p + 1;
          this.state = 0;
          return progress.done;
      }
    }
  }

  /** The space after the status is often left out with the reason, so both ways pass. */
  private endStatus(bytes: Uint8Array, p: number): Fault | null {
    if (bytes[p] === LF) return faults.bareLf;
    if (p - this.partStart !== 3 || (bytes[p] !== SP && bytes[p] !== CR)) return faults.badStatus;
    let status = 0;
    for (let i = this.partStart; i < p; i += 1) status = status * 10 + (bytes[i] ?? 0) - 0x30;
    this.status = status;
    return status < 100 ? faults.badStatus : null;
  }

  protected override finish(bytes: Uint8Array): Fault | null {
    return frameResponse(this, bytes) ?? readResponseConnection(this, bytes);
  }
}
