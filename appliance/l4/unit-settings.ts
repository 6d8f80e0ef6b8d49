/**
 * The settings and nat_addresses maps: what belongs to the unit as a whole.
 * Invariant: an address of full nat keeps its row for as long as it is in use, because flows name
 * it by that; the kernel's count of its ports then stays right.
 */
import type { L4Unit } from '../control/tables.js';
import type { KernelTables } from './kernel-tables.js';
import { MAX_NAT_ADDRESSES, natAddress, settings } from './layouts.js';
import { placeOwnMacs } from './own-mac-places.js';

export interface UnitSettingsOptions {
  readonly eventsPerSecond: number;
  /** ICMP errors and resets that the fast path may send, a CPU and second. */
  readonly errorsPerSecond?: number;
  /** Handshakes of one service that a CPU sees left open in a second before SYNs get cookies. */
  readonly halfOpen?: number;
  readonly hashSeed: number;
  /** Which of the two units of a pair this is: full nat takes even or odd ports. */
  readonly natHalf?: 0 | 1;
}

const ERRORS_PER_SECOND = 1000;
const HALF_OPEN = 2048;

export class UnitSettings {
  readonly #kernel: KernelTables;
  readonly #options: UnitSettingsOptions;
  #written: Uint8Array;
  readonly #natAddresses: Uint8Array;
  #natServices = 0;
  #probing = false;
  #mirror = 0;
  #natHalf: number;

  constructor(kernel: KernelTables, options: UnitSettingsOptions) {
    this.#kernel = kernel;
    this.#options = options;
    this.#natHalf = options.natHalf ?? 0;
    this.#written = kernel.settings.readAll().slice(0, settings.size);
    this.#natAddresses = kernel.natAddresses.readAll();
    this.#natServices = settings.decode(this.#written).nat_services;
  }

  /** Nat services that the fast path knows of now. */
  get natServices(): number {
    return this.#natServices;
  }

  write(unit: L4Unit, natServices: number): void {
    const four = unit.natAddresses.filter((address) => !address.includes(':'));
    const six = unit.natAddresses.filter((address) => address.includes(':'));
    four.forEach((address, index) => {
      this.#writeNatAddress(index, address);
    });
    six.forEach((address, index) => {
      this.#writeNatAddress(MAX_NAT_ADDRESSES + index, address);
    });
    const source4 = splitPrefix(unit.tunnelSource4);
    const { own_macs_known, own_macs_factor, own_macs } = settings.decode(this.#written);
    const bytes = settings.encode({
      ...{ own_macs_known, own_macs_factor, own_macs },
      events_per_second: this.#options.eventsPerSecond,
      nat_services: natServices,
      hash_seed: this.#options.hashSeed,
      tunnel_source4: source4.address,
      tunnel_mask4: hostMask(source4.bits),
      nat_addresses4: four.length,
      nat_addresses6: six.length,
      nat_half: this.#natHalf,
      errors_per_second: this.#options.errorsPerSecond ?? ERRORS_PER_SECOND,
      tunnel_source6: splitPrefix(unit.tunnelSource6).address,
      probing: Number(this.#probing),
      half_open: this.#options.halfOpen ?? HALF_OPEN,
      mirror: this.#mirror,
    });
    this.#put(bytes, natServices);
  }

  /** Whether a member is being tested: the program then looks for probes and their answers. */
  setProbing(probing: boolean): void {
    this.#probing = probing;
    this.#change({ probing: Number(probing) });
  }

  get natHalf(): number {
    return this.#natHalf;
  }

  /** Which ports full nat takes from now on: the even or the odd ones. Flows keep theirs. */
  setNatHalf(half: 0 | 1): void {
    this.#natHalf = half;
    this.#change({ nat_half: half });
  }

  /** The running pass of the mirror (native/bpf/mirror.h); 0: nobody is told of flows. */
  setMirror(pass: number): void {
    this.#mirror = pass;
    this.#change({ mirror: pass });
  }

  /**
   * MAC addresses (6 bytes) that frames for this unit have; others are the kernel's. None, or more than
   * there is room for: all frames are looked at.
   */
  setOwnMacs(macs: readonly Uint8Array[]): void {
    const now = settings.decode(this.#written);
    const places = placeOwnMacs(macs, now.own_macs_factor);
    // A packet may meet the new factor with old places: until both are there, all frames are looked at.
    if (places?.factor !== now.own_macs_factor) this.#change({ own_macs_known: 0 });
    if (places === null) return;
    this.#change({ own_macs_factor: places.factor, own_macs: places.macs });
    this.#change({ own_macs_known: 1 });
  }

  #change(change: Partial<ReturnType<typeof settings.decode>>): void {
    const held = settings.decode(this.#written);
    this.#put(settings.encode({ ...held, ...change }), this.#natServices);
  }

  #put(bytes: Uint8Array, natServices: number): void {
    if (Buffer.compare(bytes, this.#written) === 0) return;
    this.#kernel.settings.setMany(Uint32Array.of(0), bytes);
    this.#written = bytes;
    this.#natServices = natServices;
  }

  #writeNatAddress(row: number, address: string): void {
    const bytes = natAddress.encode({ address });
    const held = this.#natAddresses.subarray(row * bytes.length, (row + 1) * bytes.length);
    if (Buffer.compare(bytes, held) === 0) return;
    this.#kernel.natAddresses.setMany(Uint32Array.of(row), bytes);
    held.set(bytes);
  }
}

function splitPrefix(text: string): { address: string; bits: number } {
  const [address = '', bits = ''] = text.split('/');
  return { address, bits: Number(bits) };
}

/** The bits behind a prefix, as a dotted address. */
function hostMask(bits: number): string {
  const mask = bits >= 32 ? 0 : 0xffff_ffff >>> bits;
  return [24, 16, 8, 0].map((shift) => String((mask >>> shift) & 0xff)).join('.');
}
