/**
 * Reads BTF, the type information that travels with BPF objects and maps, into plain layouts.
 * Format: Documentation/bpf/btf.rst of the kernel (version 1).
 *
 * Invariant: a layout says what the bytes are (offset, size), whatever names the types carry;
 * `signature` leaves out typedefs, so two builds with different headers compare equal when
 * their bytes do.
 */
import { readFileSync } from 'node:fs';
import { BpfError } from './bpf-error.js';
import { btfBytesById } from './bpf-info.js';

export interface FieldLayout {
  readonly name: string;
  /** Bytes from the start of the structure; bit fields are rounded down. */
  readonly offset: number;
  /** Bytes. */
  readonly size: number;
  /** As in C, for example `__u32`, `__u8[6]`, `struct weir_address`. */
  readonly type: string;
}

export interface StructLayout {
  readonly name: string;
  readonly size: number;
  readonly fields: readonly FieldLayout[];
}

export interface EnumLayout {
  readonly name: string;
  readonly size: number;
  readonly values: ReadonlyMap<string, number>;
}

const MAGIC = 0xeb9f;
const kind = {
  int: 1,
  pointer: 2,
  array: 3,
  struct: 4,
  union: 5,
  enum: 6,
  forward: 7,
  typedef: 8,
  volatile: 9,
  const: 10,
  restrict: 11,
  function: 12,
  prototype: 13,
  variable: 14,
  section: 15,
  float: 16,
  declarationTag: 17,
  typeTag: 18,
  enum64: 19,
} as const;

/** Kinds that only wrap another type. */
const wrappers: ReadonlySet<number> = new Set([
  kind.typedef,
  kind.volatile,
  kind.const,
  kind.restrict,
  kind.typeTag,
]);

/** Bytes after the 12 common ones, for one type of each kind. */
function trailer(kindOfType: number, members: number): number {
  switch (kindOfType) {
    case kind.int:
    case kind.variable:
    case kind.declarationTag:
      return 4;
    case kind.array:
      return 12;
    case kind.enum:
    case kind.prototype:
      return 8 * members;
    case kind.struct:
    case kind.union:
    case kind.section:
    case kind.enum64:
      return 12 * members;
    default:
      return 0;
  }
}

interface Type {
  readonly kind: number;
  readonly name: string;
  readonly members: number;
  readonly bitFields: boolean;
  /** Size in bytes or the type that this one refers to, by kind. */
  readonly sizeOrType: number;
  /** Where its trailer begins. */
  readonly at: number;
}

export class Btf {
  readonly #view: DataView;
  readonly #types: readonly Type[];

  private constructor(view: DataView, types: readonly Type[]) {
    this.#view = view;
    this.#types = types;
  }

  /** Parses raw BTF. Throws BpfError with code `EBTF` when it is damaged. */
  static parse(bytes: Uint8Array): Btf {
    try {
      return Btf.#parse(bytes);
    } catch (cause) {
      if (cause instanceof BpfError) throw cause;
      throw new BpfError('the type information (BTF) is cut short: build the object again', {
        code: 'EBTF',
        cause,
      });
    }
  }

  static #parse(bytes: Uint8Array): Btf {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (view.getUint16(0, true) !== MAGIC || view.getUint8(2) !== 1) {
      throw new BpfError('this is no type information (BTF) of version 1: build the object again', {
        code: 'EBTF',
      });
    }
    const header = view.getUint32(4, true);
    const typesAt = header + view.getUint32(8, true);
    const typesEnd = typesAt + view.getUint32(12, true);
    const stringsAt = header + view.getUint32(16, true);
    const text = (offset: number): string => {
      const from = stringsAt + offset;
      let end = from;
      while (view.getUint8(end) !== 0) end++;
      return Buffer.from(bytes.buffer, bytes.byteOffset + from, end - from).toString('latin1');
    };
    // Type 0 is void.
    const types: Type[] = [
      { kind: 0, name: 'void', members: 0, bitFields: false, sizeOrType: 0, at: 0 },
    ];
    for (let at = typesAt; at < typesEnd;) {
      const word = view.getUint32(at + 4, true);
      const type: Type = {
        kind: (word >>> 24) & 0x1f,
        name: text(view.getUint32(at, true)),
        members: word & 0xffff,
        bitFields: word >>> 31 === 1,
        sizeOrType: view.getUint32(at + 8, true),
        at: at + 12,
      };
      types.push(type);
      at += 12 + trailer(type.kind, type.members);
    }
    const btf = new Btf(view, types);
    btf.#text = text;
    return btf;
  }

  #text: (offset: number) => string = () => '';

  /** BTF of an object file: its `.BTF` section (ELF64, little endian). */
  static ofObjectFile(path: string): Btf {
    return Btf.parse(elfSection(readFileSync(path), '.BTF', path));
  }

  /** BTF that the kernel holds under this id (see `mapInfo().btfId`). */
  static ofKernel(id: number): Btf {
    return Btf.parse(btfBytesById(id));
  }

  /** Layout of `struct name` (or union), null when there is none. */
  struct(name: string): StructLayout | null {
    const id = this.#types.findIndex(
      (type) => (type.kind === kind.struct || type.kind === kind.union) && type.name === name,
    );
    return id < 0 ? null : this.structOf(id);
  }

  /** Layout of the structure with this type id, null when the id is something else. */
  structOf(id: number): StructLayout | null {
    const type = this.#types[this.#unwrap(id)];
    if (type === undefined || (type.kind !== kind.struct && type.kind !== kind.union)) return null;
    return {
      name: type.name,
      size: type.sizeOrType,
      fields: this.#members(type).map((member) => ({
        name: member.name,
        offset: member.offset,
        size: this.sizeOf(member.type),
        type: this.describe(member.type),
      })),
    };
  }

  /** Names and values of `enum name`, null when there is none. */
  enum(name: string): EnumLayout | null {
    const type = this.#types.find(
      (one) => (one.kind === kind.enum || one.kind === kind.enum64) && one.name === name,
    );
    if (type === undefined) return null;
    const step = type.kind === kind.enum ? 8 : 12;
    const values = new Map<string, number>();
    for (let index = 0; index < type.members; index++) {
      const at = type.at + index * step;
      values.set(this.#text(this.#view.getUint32(at, true)), this.#view.getInt32(at + 4, true));
    }
    return { name: type.name, size: type.sizeOrType, values };
  }

  /** Every named structure. */
  structs(): StructLayout[] {
    const all: StructLayout[] = [];
    this.#types.forEach((type, id) => {
      if (type.kind !== kind.struct || type.name === '') return;
      const layout = this.structOf(id);
      if (layout !== null) all.push(layout);
    });
    return all;
  }

  /** Size in bytes of a type; 0 for void and functions. */
  sizeOf(id: number): number {
    const type = this.#types[this.#unwrap(id)];
    if (type === undefined) return 0;
    if (type.kind === kind.pointer) return 8;
    if (type.kind === kind.array) {
      return (
        this.sizeOf(this.#view.getUint32(type.at, true)) * this.#view.getUint32(type.at + 8, true)
      );
    }
    const sized: readonly number[] = [
      kind.int,
      kind.struct,
      kind.union,
      kind.enum,
      kind.enum64,
      kind.float,
    ];
    return sized.includes(type.kind) ? type.sizeOrType : 0;
  }

  /** The type as C writes it, less qualifiers. */
  describe(id: number): string {
    const type = this.#types[id];
    if (type === undefined) return `type ${id}`;
    switch (type.kind) {
      case kind.volatile:
      case kind.const:
      case kind.restrict:
      case kind.typeTag:
        return this.describe(type.sizeOrType);
      case kind.pointer:
        return `${this.describe(type.sizeOrType)} *`;
      case kind.array:
        return `${this.describe(this.#view.getUint32(type.at, true))}[${this.#view.getUint32(type.at + 8, true)}]`;
      case kind.struct:
        return `struct ${type.name}`;
      case kind.union:
        return `union ${type.name}`;
      case kind.enum:
      case kind.enum64:
        return `enum ${type.name}`;
      default:
        return type.name;
    }
  }

  /**
   * Everything about the bytes of a type in one line, down to integers: equal signatures are
   * equal layouts with equal field names.
   */
  signature(id: number): string {
    const type = this.#types[this.#unwrap(id)];
    if (type === undefined) return `type ${id}`;
    switch (type.kind) {
      case kind.array:
        return `${this.signature(this.#view.getUint32(type.at, true))}[${this.#view.getUint32(type.at + 8, true)}]`;
      case kind.struct:
      case kind.union: {
        const fields = this.#members(type).map(
          (member) => `${member.name}@${member.offset} ${this.signature(member.type)}`,
        );
        return `${type.name}(${type.sizeOrType}){${fields.join('; ')}}`;
      }
      case kind.pointer:
        return 'pointer';
      default:
        return `${type.kind}:${this.sizeOf(id)}`;
    }
  }

  #unwrap(id: number): number {
    let at = id;
    for (let type = this.#types[at]; type !== undefined && wrappers.has(type.kind);) {
      at = type.sizeOrType;
      type = this.#types[at];
    }
    return at;
  }

  #members(type: Type): { name: string; type: number; offset: number }[] {
    return Array.from({ length: type.members }, (_, index) => {
      const at = type.at + index * 12;
      const bits = this.#view.getUint32(at + 8, true);
      return {
        name: this.#text(this.#view.getUint32(at, true)),
        type: this.#view.getUint32(at + 4, true),
        offset: Math.floor((type.bitFields ? bits & 0xffffff : bits) / 8),
      };
    });
  }
}

/** Bytes of a named section (ELF-64 Object File Format 1.5, sections 2 and 3). */
function elfSection(file: Buffer, wanted: string, path: string): Uint8Array {
  const damaged = (why: string): BpfError =>
    new BpfError(`${path} ${why}: build it again with native/bpf/build.sh`, { code: 'EBTF' });
  if (file.length < 64 || file.readUInt32BE(0) !== 0x7f454c46 || file[4] !== 2) {
    throw damaged('is no 64-bit ELF object');
  }
  const headersAt = Number(file.readBigUInt64LE(40));
  const headerSize = file.readUInt16LE(58);
  const count = file.readUInt16LE(60);
  const namesIndex = file.readUInt16LE(62);
  if (headersAt + count * headerSize > file.length) throw damaged('is cut short');
  const section = (index: number): { name: number; from: number; size: number } => {
    const at = headersAt + index * headerSize;
    return {
      name: file.readUInt32LE(at),
      from: Number(file.readBigUInt64LE(at + 24)),
      size: Number(file.readBigUInt64LE(at + 32)),
    };
  };
  const names = section(namesIndex);
  for (let index = 0; index < count; index++) {
    const one = section(index);
    const from = names.from + one.name;
    if (file.toString('latin1', from, from + wanted.length + 1) === `${wanted}\0`) {
      return file.subarray(one.from, one.from + one.size);
    }
  }
  throw damaged(`has no section ${wanted}`);
}
