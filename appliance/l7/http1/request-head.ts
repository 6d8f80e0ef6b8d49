/**
 * The head of a request: RFC 9112 §3 (request line, targets), RFC 9110 §7.2 (Host), and
 * what follows from its fields for framing and the connection.
 *
 * Invariant: `parse` says done only for a head whose body and end are known without
 * doubt; whatever two recipients might read in two ways is refused.
 */
import { readRequestConnection, upgradeKind, type UpgradeKind } from './connection.js';
import { faults, progress, type Fault, type Progress } from './faults.js';
import { FieldSection, startStates } from './fields.js';
import { bodyKind, frameRequest, readLength, type BodyKind } from './framing.js';
import { defaultLimits, type Limits } from './limits.js';
import { findMethod, method } from './methods.js';
import { nameId } from './names.js';
import { COLON, CR, HT, LF, SLASH, SP, targetOctet, tokenLower } from './octets.js';
import { hostEnd, schemeLength, targetForm, type TargetForm } from './target.js';
import { readVersion } from './version.js';

const at = {
  empty: startStates,
  emptyLf: startStates + 1,
  method: startStates + 2,
  target: startStates + 3,
  version: startStates + 4,
  lineLf: startStates + 5,
} as const;

export class RequestHead extends FieldSection {
  /** One of `method`; `method.other` for names that no table has. */
  method = 0;
  methodStart = 0;
  methodEnd = 0;
  form: TargetForm = targetForm.origin;
  targetStart = 0;
  targetEnd = 0;
  /** Path and query within the target; empty in authority form, and for `http://host`. */
  pathStart = 0;
  pathEnd = 0;
  /** Host and port that the request is for: of the target, else of Host; empty in HTTP/1.0 without. */
  hostStart = 0;
  hostEnd = 0;
  authorityEnd = 0;
  /** 0 or 1: HTTP/1.x; later minor versions are treated as 1. */
  minor = 1;
  body: BodyKind = bodyKind.none;
  /** Bytes of the body when `body` is `length`. */
  length = 0;
  /** Whether the client lets the connection go on after this exchange. */
  persistent = true;
  upgrade: UpgradeKind = upgradeKind.none;
  expectContinue = false;
  /** Hops that TRACE and OPTIONS may still take (RFC 9110 §7.6.2): 0 ends here, -1 any number. */
  maxForwards = -1;

  private lineLimitAt = 0;
  private versionStart = 0;

  constructor(readonly limits: Limits = defaultLimits) {
    super(limits.fields, limits.head);
  }

  override reset(start: number): void {
    super.reset(start);
    this.state = at.empty;
    this.lineLimitAt = start + this.limits.line + 2;
    this.body = bodyKind.none;
    this.length = 0;
    this.upgrade = upgradeKind.none;
    this.expectContinue = false;
    this.maxForwards = -1;
  }

  override move(delta: number): void {
    super.move(delta);
    this.lineLimitAt += delta;
    this.versionStart += delta;
    this.methodStart += delta;
    this.methodEnd += delta;
    this.targetStart += delta;
    this.targetEnd += delta;
    this.pathStart += delta;
    this.pathEnd += delta;
    this.hostStart += delta;
    this.hostEnd += delta;
    this.authorityEnd += delta;
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
    return pos >= this.lineLimitAt ? this.refuse(faults.targetTooLong) : progress.more;
  }

  private parseLine(bytes: Uint8Array, available: number): Progress {
    const end = available < this.lineLimitAt ? available : this.lineLimitAt;
    let p = this.pos;
    let state = this.state;
    for (;;) {
      if (p >= end) return this.pauseLine(p, state);
      const c = bytes[p] ?? 0;
      switch (state) {
        case at.empty:
          // RFC 9112 §2.2: one empty line before the request line is forgiven.
          if (c === CR && p === this.start) {
            p += 1;
            state = at.emptyLf;
            break;
          }
          this.methodStart = p;
          state = at.method;
          break;
        case at.emptyLf:
          if (c !== LF) return this.refuse(faults.bareCr);
          p += 1;
          this.methodStart = p;
          state = at.method;
          break;
        case at.method: {
          const limit = this.methodStart + this.limits.method;
          while (p < end && p <= limit && tokenLower[bytes[p] ?? 0] !== 0) p += 1;
          if (p > limit) return this.refuse(faults.methodTooLong);
          if (p >= end) break;
          const fault = this.endMethod(bytes, p);
          if (fault !== null) return this.refuse(fault);
          p += 1;
          this.targetStart = p;
          state = at.target;
          break;
        }
        case at.target: {
          while (p < end && targetOctet[bytes[p] ?? 0] !== 0) p += 1;
          if (p >= end) break;
          const fault = this.endTarget(bytes, p);
          if (fault !== null) return this.refuse(fault);
          p += 1;
          this.versionStart = p;
          state = at.version;
          break;
        }
        case at.version: {
          const limit = this.versionStart + 8;
          while (p < end && p < limit && (bytes[p] ?? 0) > SP && (bytes[p] ?? 0) < 0x7f) p += 1;
          if (p >= end) break;
          const fault = this.endVersion(bytes, p);
          if (fault !== null) return this.refuse(fault);
          p += 1;
          state = at.lineLf;
          break;
        }
        default:
          if (c !== LF) return this.refuse(faults.bareCr);
          this.pos = p + 1;
          this.state = 0;
          return progress.done;
      }
    }
  }

  private endMethod(bytes: Uint8Array, p: number): Fault | null {
    const c = bytes[p] ?? 0;
    if (c === LF) return faults.bareLf;
    if (c !== SP) return c === HT || c === CR ? faults.badSpace : faults.badMethod;
    if (p === this.methodStart) return faults.badSpace;
    this.methodEnd = p;
    this.method = findMethod(bytes, this.methodStart, p);
    if (this.method === method.other && this.limits.unknownMethods === 'refuse') {
      return faults.methodUnknown;
    }
    if (this.method === method.connect && this.limits.connect === 'refuse') {
      return faults.methodUnknown;
    }
    return null;
  }

  private endTarget(bytes: Uint8Array, p: number): Fault | null {
    const c = bytes[p] ?? 0;
    const start = this.targetStart;
    if (c === CR) return p === start ? faults.badSpace : faults.noVersion;
    if (c === LF) return faults.bareLf;
    if (c === HT) return faults.badSpace;
    if (c !== SP) return faults.badTargetOctet;
    if (p === start) return faults.badSpace;
    this.targetEnd = p;
    this.pathStart = p;
    this.pathEnd = p;
    this.hostStart = p;
    this.hostEnd = p;
    this.authorityEnd = p;
    if (this.method === method.connect) return this.authorityForm(bytes);
    const first = bytes[start] ?? 0;
    if (first === SLASH) {
      this.form = targetForm.origin;
      this.pathStart = start;
      return null;
    }
    if (first === 0x2a && p === start + 1) {
      this.form = targetForm.asterisk;
      this.pathStart = start;
      return this.method === method.options ? null : faults.asteriskForm;
    }
    return this.absoluteForm(bytes);
  }

  private authorityForm(bytes: Uint8Array): Fault | null {
    const host = hostEnd(bytes, this.targetStart, this.targetEnd);
    // The port is not optional here (RFC 9112 §3.2.3).
    if (host < 0 || this.targetEnd - host < 2) return faults.authorityForm;
    this.form = targetForm.authority;
    this.hostStart = this.targetStart;
    this.hostEnd = host;
    this.authorityEnd = this.targetEnd;
    return null;
  }

  private absoluteForm(bytes: Uint8Array): Fault | null {
    const scheme = schemeLength(bytes, this.targetStart, this.targetEnd);
    if (scheme === 0) {
      const colon = bytes.subarray(this.targetStart, this.targetEnd).indexOf(COLON);
      if (hostEnd(bytes, this.targetStart, this.targetEnd) >= 0 && colon > 0) {
        return faults.authorityForm;
      }
      return colon > 0 ? faults.badScheme : faults.badTarget;
    }
    const from = this.targetStart + scheme;
    let p = from;
    for (; p < this.targetEnd; p += 1) {
      const c = bytes[p] ?? 0;
      if (c === 0x40) return faults.userInfo;
      if (c === SLASH || c === 0x3f) break;
    }
    const host = hostEnd(bytes, from, p);
    if (host < 0) return faults.badAuthority;
    this.form = targetForm.absolute;
    this.hostStart = from;
    this.hostEnd = host;
    this.authorityEnd = p;
    this.pathStart = p;
    return null;
  }

  private endVersion(bytes: Uint8Array, p: number): Fault | null {
    const start = this.versionStart;
    const c = bytes[p] ?? 0;
    if (c === LF) return faults.bareLf;
    if (c === SP || c === HT) return faults.badSpace;
    if (c !== CR) return faults.badVersion;
    if (p === start) return faults.badSpace;
    const minor = readVersion(bytes, start, p);
    if (minor === -1) return faults.badVersion;
    if (minor === -2) return faults.versionUnknown;
    this.minor = minor;
    return null;
  }

  private readMaxForwards(bytes: Uint8Array): void {
    if (this.method !== method.trace && this.method !== method.options) return;
    const index = this.firstOf(nameId['max-forwards']);
    const start = this.valueStart[index] ?? 0;
    this.maxForwards = Math.max(-1, readLength(bytes, start, this.valueEnd[index] ?? 0));
  }

  protected override finish(bytes: Uint8Array): Fault | null {
    if (this.has(nameId['max-forwards'])) this.readMaxForwards(bytes);
    return this.checkHost(bytes) ?? frameRequest(this, bytes) ?? readRequestConnection(this, bytes);
  }

  private checkHost(bytes: Uint8Array): Fault | null {
    const index = this.firstOf(nameId.host);
    if (index < 0) return this.minor === 0 ? null : faults.noHost;
    if (this.hasTwice(nameId.host)) return faults.manyHosts;
    const start = this.valueStart[index] ?? 0;
    const end = this.valueEnd[index] ?? 0;
    const host = hostEnd(bytes, start, end);
    if (host < 0) return faults.badHost;
    // RFC 9112 §3.2.2: an authority in the target stands above the field.
    if (this.form !== targetForm.absolute && this.form !== targetForm.authority) {
      this.hostStart = start;
      this.hostEnd = host;
      this.authorityEnd = end;
    }
    return null;
  }
}
