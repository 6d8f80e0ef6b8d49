/**
 * How two units come to know each other's keys, inside TLS 1.3 (proof.ts says what that is bound to):
 *
 *     joiner                               inviter
 *     join     its name and proof    →     is it right?
 *              is it right?          ←     welcome   its name, proof and addresses
 *     agreed                         →     keeps the joiner's key
 *              keeps the inviter's   ←     done
 *
 * Invariant: neither unit keeps anything before the other has proved to know the code.
 */
import type { TLSSocket } from 'node:tls';
import type { CodeSecret } from './code.js';
import type { RefusalCounts } from './counts.js';
import { PairError } from './errors.js';
import { FrameSocket } from './frame-socket.js';
import { FrameError, type Frame, type FrameType } from './frames.js';
import {
  decodeJson,
  emptySchema,
  encodeJson,
  joinSchema,
  PROTOCOL_VERSION,
  refusedSchema,
  VersionError,
  welcomeSchema,
  type RefusedReason,
} from './messages.js';
import { peerPin } from './identity.js';
import { exporterOf, proofOf, proves, type Transcript } from './proof.js';

/** For all of it. */
export const PAIRING_MS = 10_000;

/** The other unit, as it has proved to be. */
export interface Introduced {
  readonly name: string;
  readonly pin: Buffer;
}

export interface PairingSide {
  /** This unit's name. */
  readonly name: string;
  readonly pin: Buffer;
  readonly epoch: number;
  readonly counts: RefusalCounts;
}

export interface InviterSide extends PairingSide {
  readonly addresses: readonly string[];
  /** The code as it is now; null: there is no invitation (any more). */
  readonly secret: () => CodeSecret | null;
  /** A proof that is not right. Returns whether the invitation is void by that. */
  readonly wrong: () => boolean;
  /** Spends the invitation and keeps the other unit; false: somebody else was faster. */
  readonly keep: (joiner: Introduced) => boolean;
}

/**
 * The joiner's side. Returns the inviter, which has kept this unit's key already.
 *
 * @throws PairError (unavailable, conflict)
 */
export async function join(
  socket: TLSSocket,
  secret: CodeSecret,
  side: PairingSide,
): Promise<Introduced & { readonly addresses: readonly string[] }> {
  const talk = new Talk(socket, side);
  try {
    const pin = pinAt(socket);
    if (pin.equals(side.pin)) {
      throw new PairError('conflict', 'At that address is this unit itself: name the other one’s.');
    }
    const transcript: Transcript = { inviter: pin, joiner: side.pin, exported: exporterOf(socket) };
    const proof = proofOf(secret, 'joiner', transcript).toString('hex');
    talk.send('join', { version: PROTOCOL_VERSION, name: side.name, proof });
    const welcome = decodeJson(welcomeSchema, await talk.next('welcome'));
    if (!proves(Buffer.from(welcome.proof, 'hex'), secret, 'inviter', transcript)) {
      throw new PairError(
        'unavailable',
        'What answers there does not know the code itself: it is not the unit that you mean, or somebody is in between.',
      );
    }
    talk.send('agreed', {});
    decodeJson(emptySchema, await talk.next('done'));
    return { name: welcome.name, addresses: welcome.addresses, pin };
  } catch (error) {
    throw talk.failure(error);
  } finally {
    talk.finish();
  }
}

/** The inviter's side; a failure is counted, and told by what it throws (PairError). */
export async function welcome(socket: TLSSocket, side: InviterSide): Promise<Introduced> {
  const talk = new Talk(socket, side);
  try {
    const pin = pinAt(socket);
    if (pin.equals(side.pin)) throw talk.refusal('itself');
    const join = decodeJson(joinSchema, await talk.next('join'));
    const secret = side.secret();
    if (secret === null) throw talk.refusal('void');
    const transcript: Transcript = { inviter: side.pin, joiner: pin, exported: exporterOf(socket) };
    if (!proves(Buffer.from(join.proof, 'hex'), secret, 'joiner', transcript)) {
      side.counts.wrongCode += 1;
      throw talk.refusal(side.wrong() ? 'void' : 'code');
    }
    // Names tell the two apart everywhere. The invitation stays open.
    if (join.name === side.name) throw talk.refusal('same-name');
    talk.send('welcome', {
      version: PROTOCOL_VERSION,
      name: side.name,
      proof: proofOf(secret, 'inviter', transcript).toString('hex'),
      addresses: side.addresses,
    });
    decodeJson(emptySchema, await talk.next('agreed'));
    const joiner = { name: join.name, pin };
    if (!side.keep(joiner)) throw talk.refusal('void');
    talk.send('done', {});
    return joiner;
  } catch (error) {
    throw talk.failure(error);
  } finally {
    talk.finish();
  }
}

/** Frames one after the other, within the time for all of them. */
class Talk {
  readonly #frames: FrameSocket;
  readonly #counts: RefusalCounts;
  readonly #deadline: NodeJS.Timeout;
  #came: Frame | null = null;
  #closed: string | null = null;
  #wake: (() => void) | null = null;

  constructor(socket: TLSSocket, { epoch, counts }: PairingSide) {
    this.#counts = counts;
    this.#frames = new FrameSocket(socket, epoch, counts);
    this.#deadline = setTimeout(() => {
      this.#frames.close(`it took longer than ${PAIRING_MS / 1000} s`);
    }, PAIRING_MS);
    this.#frames.listen({
      frame: (frame) => {
        // Each side waits for the other: two frames at once are none of this.
        if (this.#came !== null) throw new FrameError(`${frame.type} out of turn`);
        this.#came = frame;
        this.#wake?.();
      },
      closed: (reason) => {
        this.#closed = reason;
        this.#wake?.();
      },
    });
  }

  send(type: FrameType, value: object): void {
    this.#frames.send(type, encodeJson(value));
  }

  async next(type: FrameType): Promise<Buffer> {
    if (this.#came === null && this.#closed === null) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = null;
    }
    const frame = this.#came;
    if (frame === null) {
      throw new PairError('unavailable', `The connection ended: ${this.#closed ?? ''}.`);
    }
    this.#came = null;
    if (frame.type === 'refused') throw refusedBy(decodeJson(refusedSchema, frame.payload).reason);
    if (frame.type !== type) throw new FrameError(`${frame.type} where ${type} is due`);
    return frame.payload;
  }

  /** Tells the other unit why not. */
  refusal(reason: RefusedReason): PairError {
    this.send('refused', { reason });
    return refusedBy(reason);
  }

  failure(error: unknown): unknown {
    if (!(error instanceof FrameError)) return error;
    this.#counts.malformed += 1;
    if (error instanceof VersionError) this.send('refused', { reason: 'version' });
    return new PairError(
      'unavailable',
      `The other unit does not speak as this one: ${error.message}.`,
    );
  }

  finish(): void {
    clearTimeout(this.#deadline);
    this.#frames.finish('the pairing is over');
  }
}

function pinAt(socket: TLSSocket): Buffer {
  const pin = peerPin(socket);
  if (pin === null) throw new PairError('unavailable', 'The other unit shows no certificate.');
  return pin;
}

function refusedBy(reason: RefusedReason): PairError {
  return new PairError('conflict', SENTENCES[reason]);
}

const SENTENCES: Readonly<Record<RefusedReason, string>> = {
  code: 'The code is wrong: type it as "weir pair invite" printed it on the other unit.',
  void: 'The invitation is no longer valid: it was used, has expired, or there were too many wrong codes. Run "weir pair invite" again on the other unit.',
  itself: 'At that address is this unit itself: name the other one’s.',
  'same-name':
    'Both units have the same name: give this one another in unit.name of its configuration, apply it, and join again.',
  version:
    'The other unit runs a version of Weir that pairs in another way: bring both units to the same version, and join again.',
  unknown:
    'The other unit has no invitation open, and does not know this one: run "weir pair invite" there.',
};
