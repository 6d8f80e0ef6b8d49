/**
 * What the daemons of a pair agree on so that their VRRP speakers hear each other: a key, and where each
 * unit can be reached. It goes over the pair's session, and is kept, so that a daemon that comes back
 * alone still knows where the other unit's speaker is.
 *
 * Invariants:
 * - The key is made by the unit that invited, once a pairing, and is in no log; at rest it is encrypted by
 *   the machine key.
 * - Addresses that services bring are never paths: they move.
 */
import { HEARTBEAT_PORT } from '../ha/ports.js';
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { formatAddress, readAddress } from '../config/address-codec.js';
import { interfaceName } from '../config/basics.js';
import { unicastAddress } from '../config/fields.js';
import type { Pair } from '../ha/pair/pair.js';
import { UndeliveredError, type Session } from '../ha/pair/session.js';
import type { PairStore } from '../ha/pair/store.js';
import { choosePaths, type UnitAddress } from '../ha/vrrp/paths/choose.js';
import type { PathsText } from '../ha/vrrp/speaker/messages.js';
import { isLinkLocal } from '../net/prefix.js';
import { movesByItself } from '../net/service-addresses.js';
import type { InterfaceAddress, Link } from '../net/wire.js';
import type { MachineKey } from '../tls/machine-key.js';

const CHANNEL = 'heartbeats';
const KEY_BYTES = 32;
const SEALED_AS = 'key of heartbeats';
const MOST_ADDRESSES = 128;

const addressesSchema = z
  .array(
    z.strictObject({
      interface: interfaceName(),
      address: unicastAddress(),
      prefixLength: z.int().min(1).max(127),
    }),
  )
  .max(MOST_ADDRESSES);

const saidSchema = z.strictObject({
  /** From who invited alone. */
  key: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .nullable(),
  addresses: addressesSchema,
});
type Said = z.output<typeof saidSchema>;

export type PathsSource = Pick<PathsText, 'key' | 'port' | 'paths'>;

export interface HeartbeatPathsOptions {
  readonly pair: Pick<Pair, 'state' | 'onSession'>;
  readonly store: Pick<PairStore, 'heartbeats' | 'putHeartbeats'>;
  /** @throws CertificateError */
  readonly machineKey: () => MachineKey;
  readonly network: {
    links(): readonly Link[];
    addresses(): readonly InterfaceAddress[];
  };
  /** There are others than before. */
  readonly onChange: () => void;
  readonly onError: (error: unknown) => void;
}

export class HeartbeatPaths {
  readonly #options: HeartbeatPathsOptions;
  readonly #close: () => void;
  #session: Session | null = null;
  #key: Buffer | null = null;
  #own: readonly UnitAddress[] = [];
  #other: readonly UnitAddress[] = [];
  /** What was said last on the links that are up. */
  #told = '';

  constructor(options: HeartbeatPathsOptions) {
    this.#options = options;
    this.#own = this.#read();
    this.#close = options.pair.onSession((session) => this.#attach(session));
  }

  /** Null: there is no other unit, or it was never heard. */
  get current(): PathsSource | null {
    if (this.#options.pair.state().peer === null || this.#key === null) return null;
    const paths = choosePaths(this.#own, this.#other);
    if (paths.length === 0) return null;
    return { key: this.#key.toString('hex'), port: HEARTBEAT_PORT, paths };
  }

  /** A link to the other unit is up. */
  linked(): void {
    this.#told = '';
    this.#tell();
  }

  networkChanged(): void {
    const own = this.#read();
    if (JSON.stringify(own) === JSON.stringify(this.#own)) return;
    this.#own = own;
    this.#tell();
    this.#options.onChange();
  }

  close(): void {
    this.#close();
  }

  #attach(session: Session): void {
    this.#session = session;
    this.#key = null;
    this.#other = [];
    this.#told = '';
    try {
      this.#recall();
    } catch (error) {
      this.#options.onError(error);
    }
    session.on(CHANNEL, (body) => this.#hear(body));
    if (session.links.length > 0) this.#tell();
  }

  #recall(): void {
    const { store, machineKey } = this.#options;
    const known = store.heartbeats();
    if (known === undefined) return;
    this.#key = machineKey().unseal(SEALED_AS, known.key);
    this.#other = addressesSchema.parse(JSON.parse(known.other));
  }

  #keep(): void {
    if (this.#key === null) return;
    const key = this.#options.machineKey().seal(SEALED_AS, this.#key);
    this.#options.store.putHeartbeats({ key, other: JSON.stringify(this.#other) });
  }

  #tell(): void {
    const session = this.#session;
    const peer = this.#options.pair.state().peer;
    if (session === null || session.links.length === 0 || peer === null) return;
    if (peer.role === 'inviter' && this.#key === null) {
      this.#key = randomBytes(KEY_BYTES);
      this.#keep();
    }
    const key = peer.role === 'inviter' ? (this.#key?.toString('hex') ?? null) : null;
    const said = JSON.stringify({ key, addresses: [...this.#own] } satisfies Said);
    if (said === this.#told) return;
    this.#told = said;
    session.send(CHANNEL, Buffer.from(said)).catch((error: unknown) => {
      // Whatever ends it, a link that comes up begins anew.
      if (!(error instanceof UndeliveredError)) this.#options.onError(error);
    });
  }

  #hear(body: Buffer): void {
    const { pair, onChange } = this.#options;
    const { key, addresses } = saidSchema.parse(JSON.parse(body.toString()));
    body.fill(0);
    const before = this.current;
    const fromInviter = pair.state().peer?.role === 'joiner';
    if (fromInviter && key !== null) this.#key = Buffer.from(key, 'hex');
    this.#other = addresses;
    this.#keep();
    if (JSON.stringify(before) !== JSON.stringify(this.current)) onChange();
  }

  #read(): readonly UnitAddress[] {
    const { network } = this.#options;
    const names = new Map(
      network
        .links()
        .filter(({ loopback }) => !loopback)
        .map(({ index, name }) => [index, name]),
    );
    return network
      .addresses()
      .flatMap((one): UnitAddress[] => {
        const name = names.get(one.interfaceIndex);
        const { bytes, prefixLength } = one;
        const text = formatAddress(bytes);
        const read = readAddress(text);
        if (name === undefined || read === null || isLinkLocal(read) || movesByItself(one))
          return [];
        if (prefixLength === 0 || prefixLength >= bytes.length * 8) return [];
        return [{ interface: name, address: text, prefixLength }];
      })
      .sort((a, b) => (`${a.interface} ${a.address}` < `${b.interface} ${b.address}` ? -1 : 1))
      .slice(0, MOST_ADDRESSES);
  }
}
