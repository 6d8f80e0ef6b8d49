/**
 * Descriptions of C structures: sizes and offsets by the C rules for naturally aligned
 * fields, an encoder and a decoder. `mismatches` holds a description against what the
 * compiler of the XDP programs says in the object's BTF.
 *
 * Invariant: encode writes every byte of the structure, so equal values have equal
 * bytes and keys may be compared as bytes.
 */
import { addressBytes, addressText } from './address-bytes.js';

const LITTLE = true;

export interface FieldType<T> {
  readonly size: number;
  readonly align: number;
  read(view: DataView, offset: number): T;
  write(view: DataView, offset: number, value: T): void;
}

export const u8: FieldType<number> = {
  size: 1,
  align: 1,
  read: (view, offset) => view.getUint8(offset),
  write: (view, offset, value) => {
    view.setUint8(offset, value);
  },
};

export const u16: FieldType<number> = {
  size: 2,
  align: 2,
  read: (view, offset) => view.getUint16(offset, LITTLE),
  write: (view, offset, value) => {
    view.setUint16(offset, value, LITTLE);
  },
};

/** Two VLAN tags' ids in network order, the outer one first; 0 for none. */
export const vlan: FieldType<readonly number[]> = {
  size: 4,
  align: 2,
  read: (view, offset) => [view.getUint16(offset), view.getUint16(offset + 2)].filter(Boolean),
  write: (view, offset, value) => {
    view.setUint16(offset, value[0] ?? 0);
    view.setUint16(offset + 2, value[1] ?? 0);
  },
};

export const u32: FieldType<number> = {
  size: 4,
  align: 4,
  read: (view, offset) => view.getUint32(offset, LITTLE),
  write: (view, offset, value) => {
    view.setUint32(offset, value, LITTLE);
  },
};

export const u64: FieldType<bigint> = {
  size: 8,
  align: 8,
  read: (view, offset) => view.getBigUint64(offset, LITTLE),
  write: (view, offset, value) => {
    view.setBigUint64(offset, value, LITTLE);
  },
};

/** A port in network order. */
export const port: FieldType<number> = {
  size: 2,
  align: 2,
  read: (view, offset) => view.getUint16(offset),
  write: (view, offset, value) => {
    view.setUint16(offset, value);
  },
};

/** 16 bytes, IPv4 as ::ffff:a.b.c.d; canonical text in TypeScript. */
export const address: FieldType<string> = {
  size: 16,
  align: 4,
  read: (view, offset) => addressText(new Uint8Array(view.buffer, view.byteOffset + offset, 16)),
  write: (view, offset, value) => {
    new Uint8Array(view.buffer, view.byteOffset + offset, 16).set(addressBytes(value));
  },
};

/** An IPv4 address alone, 4 bytes in network order; dotted text in TypeScript. */
export const address4: FieldType<string> = {
  size: 4,
  align: 4,
  read: (view, offset) =>
    [0, 1, 2, 3].map((index) => String(view.getUint8(offset + index))).join('.'),
  write: (view, offset, value) => {
    value.split('.').forEach((part, index) => {
      view.setUint8(offset + index, Number(part));
    });
  },
};

/** A MAC address, 6 bytes. */
export const mac: FieldType<Uint8Array> = {
  size: 6,
  align: 1,
  read: (view, offset) => Uint8Array.from(new Uint8Array(view.buffer, view.byteOffset + offset, 6)),
  write: (view, offset, value) => {
    new Uint8Array(view.buffer, view.byteOffset + offset, 6).set(value);
  },
};

/** So many MAC addresses, 8 bytes each with two zeros behind. */
export function macs(room: number): FieldType<readonly Uint8Array[]> {
  const at = (view: DataView, offset: number, row: number): Uint8Array =>
    new Uint8Array(view.buffer, view.byteOffset + offset + 8 * row, 6);
  return {
    size: 8 * room,
    align: 8,
    read: (view, offset) =>
      Array.from({ length: room }, (_, row) => Uint8Array.from(at(view, offset, row))),
    write: (view, offset, value) => {
      if (value.length !== room) throw new RangeError(`${value.length} MAC addresses, not ${room}`);
      for (const [row, bytes] of value.entries()) at(view, offset, row).set(bytes);
    },
  };
}

/** A structure inside another. */
export function nested<F extends Fields>(
  struct: Struct<F>,
  align: number,
): FieldType<StructValue<F>> {
  return {
    size: struct.size,
    align,
    read: (view, offset) => struct.decode(bytesOf(view), offset),
    write: (view, offset, value) => {
      struct.encode(value, bytesOf(view), offset);
    },
  };
}

type Fields = Readonly<Record<string, FieldType<unknown>>>;
type ValueOf<F> = F extends FieldType<infer T> ? T : never;
export type StructValue<F extends Fields> = { readonly [K in keyof F]: ValueOf<F[K]> };

/** What BTF says about a structure; see native/ffi/btf.ts. */
export interface CompiledStruct {
  readonly size: number;
  readonly fields: readonly {
    readonly name: string;
    readonly offset: number;
    readonly size: number;
  }[];
}

interface PlacedField {
  readonly name: string;
  readonly offset: number;
  readonly type: FieldType<unknown>;
}

export class Struct<F extends Fields> {
  readonly size: number;
  readonly #placed: readonly PlacedField[];

  constructor(
    readonly name: string,
    fields: F,
  ) {
    const placed: PlacedField[] = [];
    let offset = 0;
    let alignment = 1;
    for (const [field, type] of Object.entries(fields)) {
      offset = alignUp(offset, type.align);
      placed.push({ name: field, offset, type });
      offset += type.size;
      alignment = Math.max(alignment, type.align);
    }
    this.#placed = placed;
    this.size = alignUp(offset, alignment);
  }

  /** Where a field starts. */
  offsetOf(name: keyof F & string): number {
    const field = this.#placed.find((placed) => placed.name === name);
    if (field === undefined) throw new RangeError(`${this.name} has no field ${name}`);
    return field.offset;
  }

  encode(value: StructValue<F>, into: Uint8Array = new Uint8Array(this.size), at = 0): Uint8Array {
    const view = new DataView(into.buffer, into.byteOffset + at, this.size);
    into.fill(0, at, at + this.size);
    const values = value as Readonly<Record<string, unknown>>;
    for (const field of this.#placed) field.type.write(view, field.offset, values[field.name]);
    return into;
  }

  /** Writes some fields of one that was encoded. */
  set(bytes: Uint8Array, value: Partial<StructValue<F>>): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, this.size);
    const values = value as Readonly<Record<string, unknown>>;
    for (const field of this.#placed) {
      if (field.name in values) field.type.write(view, field.offset, values[field.name]);
    }
  }

  decode(bytes: Uint8Array, at = 0): StructValue<F> {
    const view = new DataView(bytes.buffer, bytes.byteOffset + at, this.size);
    const values: Record<string, unknown> = {};
    for (const field of this.#placed) values[field.name] = field.type.read(view, field.offset);
    return values as StructValue<F>;
  }

  /**
   * How the compiled structure differs from this description, in words; empty when it
   * does not. Fields called `zero` are padding and need no counterpart here.
   */
  mismatches(compiled: CompiledStruct | undefined): string[] {
    if (compiled === undefined) return [`${this.name} is not in the object's BTF`];
    const problems: string[] = [];
    if (compiled.size !== this.size) {
      problems.push(
        `${this.name} has ${compiled.size} bytes in the object, ${this.size} in the daemon`,
      );
    }
    const theirs = new Map(compiled.fields.map((field) => [field.name, field]));
    for (const ours of this.#placed) {
      const field = theirs.get(ours.name);
      if (field === undefined) problems.push(`${this.name}.${ours.name} is not in the object`);
      else if (field.offset !== ours.offset || field.size !== ours.type.size) {
        problems.push(
          `${this.name}.${ours.name} is ${field.size} bytes at ${field.offset} in the object, ` +
            `${ours.type.size} at ${ours.offset} in the daemon`,
        );
      }
      theirs.delete(ours.name);
    }
    for (const name of theirs.keys()) {
      if (name !== 'zero') problems.push(`${this.name}.${name} is unknown to the daemon`);
    }
    return problems;
  }
}

function bytesOf(view: DataView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

function alignUp(offset: number, align: number): number {
  return Math.ceil(offset / align) * align;
}
