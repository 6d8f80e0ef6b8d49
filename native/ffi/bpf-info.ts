/**
 * What the kernel says about a BPF object by its descriptor: BPF_OBJ_GET_INFO_BY_FD.
 * Layouts: struct bpf_map_info, bpf_prog_info, bpf_link_info, bpf_btf_info of linux/bpf.h,
 * which only ever grow at the end.
 */
import { closeSync } from 'node:fs';
import { BpfError } from './bpf-error.js';
import * as raw from './libbpf-raw.js';
import { addressOf } from './memory.js';

function info(fd: number, size: number, prepare?: (view: DataView) => void): DataView {
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  prepare?.(view);
  const length = new Uint8Array(new Uint32Array([size]).buffer);
  const result = raw.objInfo(fd, bytes, length);
  if (result < 0) {
    throw new BpfError(`cannot ask the kernel about BPF descriptor ${fd}`, { errno: -result });
  }
  return view;
}

function text(view: DataView, offset: number, length: number): string {
  const bytes = Buffer.from(view.buffer, view.byteOffset + offset, length);
  const end = bytes.indexOf(0);
  return bytes.subarray(0, end < 0 ? length : end).toString('latin1');
}

export interface MapInfo {
  readonly type: number;
  readonly id: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  /** At most 15 characters: the kernel cuts longer names. */
  readonly name: string;
  /** 0: the map carries no BTF. */
  readonly btfId: number;
  readonly btfKeyType: number;
  readonly btfValueType: number;
}

export function mapInfo(fd: number): MapInfo {
  const view = info(fd, 88);
  return {
    type: view.getUint32(0, true),
    id: view.getUint32(4, true),
    keySize: view.getUint32(8, true),
    valueSize: view.getUint32(12, true),
    maxEntries: view.getUint32(16, true),
    flags: view.getUint32(20, true),
    name: text(view, 24, 16),
    btfId: view.getUint32(64, true),
    btfKeyType: view.getUint32(68, true),
    btfValueType: view.getUint32(72, true),
  };
}

export interface ProgramInfo {
  readonly type: number;
  readonly id: number;
  /** SHA of the instructions: equal tags are equal programs. 16 hex digits. */
  readonly tag: string;
  readonly name: string;
  readonly jitedBytes: number;
  readonly instructions: number;
  /** Nanoseconds since boot. */
  readonly loadedAt: bigint;
  readonly mapIds: readonly number[];
  readonly btfId: number;
}

/** Instructions are 8 bytes (linux/bpf.h, struct bpf_insn). */
const INSTRUCTION_BYTES = 8;
const MAX_PROGRAM_MAPS = 64;

export function programInfo(fd: number): ProgramInfo {
  const ids = new Uint32Array(MAX_PROGRAM_MAPS);
  const view = info(fd, 232, (request) => {
    request.setUint32(52, ids.length, true);
    request.setBigUint64(56, addressOf(new Uint8Array(ids.buffer)), true);
  });
  return {
    type: view.getUint32(0, true),
    id: view.getUint32(4, true),
    tag: Buffer.from(view.buffer, 8, 8).toString('hex'),
    jitedBytes: view.getUint32(16, true),
    instructions: view.getUint32(20, true) / INSTRUCTION_BYTES,
    loadedAt: view.getBigUint64(40, true),
    mapIds: Array.from(ids.subarray(0, Math.min(view.getUint32(52, true), ids.length))),
    name: text(view, 64, 16),
    btfId: view.getUint32(128, true),
  };
}

/** BPF_LINK_TYPE_XDP of linux/bpf.h. */
const LINK_TYPE_XDP = 6;

export interface LinkInfo {
  readonly type: 'xdp' | 'other';
  readonly id: number;
  readonly programId: number;
  /** Interface index; 0 when the interface went away, or for links other than XDP. */
  readonly interfaceIndex: number;
}

export function linkInfo(fd: number): LinkInfo {
  const view = info(fd, 64);
  const xdp = view.getUint32(0, true) === LINK_TYPE_XDP;
  return {
    type: xdp ? 'xdp' : 'other',
    id: view.getUint32(4, true),
    programId: view.getUint32(8, true),
    interfaceIndex: xdp ? view.getUint32(16, true) : 0,
  };
}

/** The raw BTF with this id, as the kernel holds it. */
export function btfBytesById(id: number): Uint8Array {
  const fd = raw.btfFdById(id);
  if (fd < 0) {
    throw new BpfError(`cannot open the type information (BTF) number ${id}`, { errno: -fd });
  }
  try {
    const size = info(fd, 32).getUint32(8, true);
    const bytes = new Uint8Array(size);
    info(fd, 32, (request) => {
      request.setBigUint64(0, addressOf(bytes), true);
      request.setUint32(8, size, true);
    });
    return bytes;
  } finally {
    closeSync(fd);
  }
}
