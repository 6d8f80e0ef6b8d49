/**
 * The bindings of libbpf: maps, batches, memory, pins, links, errors; nothing may be left behind.
 * The pins stand on a BPF file system of this test's own.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  BpfError,
  BpfLink,
  BpfMap,
  BpfObject,
  BpfProgram,
  isBpffs,
  mapFlags,
  mapTypes,
  mountBpffs,
  possibleCpus,
  unmountBpffs,
  unpin,
} from '../../native/ffi/libbpf.js';
import { isOldKernel } from '../../native/ffi/bpf-error.js';
import { enterNetworkNamespace } from '../../native/ffi/namespace.js';
import { RingBuffer } from '../../native/ffi/ringbuf.js';
import { needs } from '../support/needs.js';
import { objectPath } from './datapath.js';

const test = suite('bpf bindings');
const small = new Map([
  ['flows', 1024],
  ['lookup', 64],
]);

function openFiles(): number {
  return readdirSync('/proc/self/fd').length;
}

/** The test's body must leave as many descriptors open as it found. */
function leavesNothing(work: () => void): void {
  const before = openFiles();
  work();
  assert.is(openFiles(), before, 'open file descriptors');
}

function withPins(work: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'weir-bpffs-'));
  try {
    assert.is(mountBpffs(folder), true);
    try {
      work(folder);
    } finally {
      unmountBpffs(folder);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function failure(work: () => unknown): BpfError {
  try {
    work();
  } catch (error) {
    if (error instanceof BpfError) return error;
    throw error;
  }
  throw new Error('expected a BpfError, but it succeeded');
}

function u32(value: number): Uint8Array {
  return new Uint8Array(new Uint32Array([value]).buffer);
}

function hashMap(type: number = mapTypes.hash, maxEntries = 100): BpfMap {
  return BpfMap.create({ type, name: 'weir_test', keySize: 4, valueSize: 8, maxEntries });
}

function filled(map: BpfMap, count: number): void {
  const keys = new Uint32Array(count);
  const values = new BigUint64Array((count * map.valueBytes) / 8);
  for (let index = 0; index < count; index++) {
    keys[index] = index;
    values.fill(
      BigInt(index) * 3n,
      (index * map.valueBytes) / 8,
      ((index + 1) * map.valueBytes) / 8,
    );
  }
  map.updateBatch(new Uint8Array(keys.buffer), new Uint8Array(values.buffer));
}

needs.bpf(test)('one entry: update, look-up, delete', () => {
  leavesNothing(() => {
    const map = hashMap();
    const value = new Uint8Array(8).fill(7);
    assert.is(map.lookup(u32(1)), null);
    assert.is(map.update(u32(1), value), true);
    assert.equal(map.lookup(u32(1)), value);
    assert.is(map.update(u32(1), value, 'insert'), false);
    assert.is(map.update(u32(2), value, 'replace'), false);
    assert.is(map.delete(u32(1)), true);
    assert.is(map.delete(u32(1)), false);
    map.close();
  });
});

needs.bpf(test)('buffers of a wrong size never reach the kernel', () => {
  const map = hashMap();
  try {
    assert.is(failure(() => map.lookup(new Uint8Array(3))).code, 'ESIZE');
    assert.is(failure(() => map.update(u32(1), new Uint8Array(7))).code, 'ESIZE');
    assert.is(failure(() => map.lookup(u32(1), new Uint8Array(9))).code, 'ESIZE');
    assert.is(failure(() => map.updateBatch(new Uint8Array(6), new Uint8Array(8))).code, 'ESIZE');
    assert.is(failure(() => map.updateBatch(new Uint8Array(8), new Uint8Array(8))).code, 'ESIZE');
  } finally {
    map.close();
  }
  assert.is(failure(() => map.lookup(u32(1))).code, 'ECLOSED');
});

needs.bpf(test)('a full table says so', () => {
  const map = hashMap(mapTypes.hash, 2);
  try {
    filled(map, 2);
    const error = failure(() => map.update(u32(9), new Uint8Array(8)));
    assert.is(error.code, 'E2BIG');
    assert.match(error.message, 'weir_test');
  } finally {
    map.close();
  }
});

for (const [name, type] of [
  ['hash', mapTypes.hash],
  ['LRU hash', mapTypes.lruHash],
  ['array', mapTypes.array],
  ['per-CPU array', mapTypes.perCpuArray],
  ['per-CPU hash', mapTypes.perCpuHash],
] as const) {
  needs.bpf(test)(`batches on a table of type ${name}`, () => {
    leavesNothing(() => {
      // Twice the size: an LRU table gives entries away well before it is full.
      const map = hashMap(type, type === mapTypes.lruHash ? 8192 : 1000);
      filled(map, 1000);
      for (const size of [7, 256, 4096]) {
        const seen = new Map<number, bigint>();
        for (const batch of map.batches(size)) {
          const view = new DataView(batch.values.buffer, batch.values.byteOffset);
          const keys = new DataView(batch.keys.buffer, batch.keys.byteOffset);
          for (let index = 0; index < batch.count; index++) {
            const value = view.getBigUint64(index * map.valueBytes, true);
            seen.set(keys.getUint32(index * 4, true), value);
          }
        }
        assert.is(seen.size, 1000, `entries read ${size} at a time`);
        for (const [key, value] of seen) assert.is(value, BigInt(key) * 3n);
      }
      assert.is(map.readAll().count, 1000);
      if (type !== mapTypes.array && type !== mapTypes.perCpuArray) {
        // Every other key, and some that are not there.
        const keys = Uint32Array.from({ length: 600 }, (_, index) => index * 2);
        map.deleteBatch(new Uint8Array(keys.buffer));
        assert.is(map.readAll().count, 500);
      }
      map.close();
    });
  });
}

needs.bpf(test)('a per-CPU value has room for every possible CPU', () => {
  const map = BpfMap.create({
    type: mapTypes.perCpuArray,
    name: 'weir_test',
    keySize: 4,
    valueSize: 20,
    maxEntries: 1,
  });
  assert.is(map.valueBytes, 24 * possibleCpus);
  assert.is(map.lookup(u32(0))?.length, 24 * possibleCpus);
  map.close();
});

needs.bpf(test)('a table in shared memory', () => {
  leavesNothing(() => {
    const map = BpfMap.create({
      type: mapTypes.array,
      name: 'weir_test',
      keySize: 4,
      valueSize: 64,
      maxEntries: 1000,
      flags: mapFlags.mmapable,
    });
    const mapping = map.mmap();
    const words = new Uint32Array(mapping.buffer);
    words[16 * 999 + 15] = 42;
    const value = map.lookup(u32(999));
    assert.is(value === null ? null : new DataView(value.buffer).getUint32(60, true), 42);
    map.close();
    assert.is(failure(() => mapping.buffer).code, 'ECLOSED');
  });
});

needs.bpf(test)('an object: sizes, names, programs, type information', () => {
  leavesNothing(() => {
    const object = BpfObject.open(objectPath, { mapMaxEntries: small });
    assert.is(failure(() => object.map('flows')).code, 'ESTATE');
    object.load();
    assert.is(object.map('flows').info().maxEntries, 1024);
    assert.is(object.map('members').keySize, 4);
    assert.equal(object.programNames().sort(), [
      'weir_mirror_take',
      'weir_mirror_walk',
      'weir_sweep',
      'weir_xdp',
    ]);
    assert.ok(object.mapNames().includes('reply_sources'));
    const program = object.program('weir_xdp').info();
    assert.is(program.name, 'weir_xdp');
    assert.ok(program.jitedBytes > 0 && program.instructions > 0 && program.tag.length === 16);
    assert.ok(program.mapIds.includes(object.map('flows').info().id));
    assert.is(failure(() => object.map('nonsense')).code, 'ENOENT');
    assert.is(failure(() => object.program('nonsense')).code, 'ENOENT');
    assert.ok(object.btf().struct('weir_flow') !== null);
    object.close();
    object.close();
    assert.is(failure(() => object.mapNames()).code, 'ESTATE');
  });
});

needs.bpf(test)('a missing and a broken object are told in a sentence', () => {
  leavesNothing(() => {
    assert.is(failure(() => BpfObject.open('/nowhere/weir.bpf.o')).code, 'ENOENT');
    const folder = mkdtempSync(join(tmpdir(), 'weir-object-'));
    try {
      const path = join(folder, 'broken.o');
      writeFileSync(path, 'not an object');
      const error = failure(() => BpfObject.open(path));
      assert.is(error.code, 'LIBBPF_EFORMAT');
      assert.match(error.detail, 'not a proper ELF object');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

test('kernels before 6.1 are told by their release', () => {
  const old = ['5.10.0-46-cloud-amd64', '6.0.19', '4.19', '2.6.32-754.el6.x86_64'];
  const supported = ['6.1.0-56-cloud-amd64', '6.1', '6.18.44', '10.0.1-rc2'];
  assert.equal([...old, ...supported].filter(isOldKernel), old);
});

needs.bpf(test)('a program that the verifier rejects carries the end of its log', () => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-object-'));
  try {
    const source = join(folder, 'bad.bpf.c');
    const object = join(folder, 'bad.bpf.o');
    writeFileSync(
      source,
      `struct xdp_md { unsigned data, data_end, data_meta, ifindex, queue, egress; };
       char weir_license[] __attribute__((section("license"))) = "GPL";
       __attribute__((section("xdp"))) int bad(struct xdp_md *context)
       { return ((unsigned char *)(long)context->data)[100]; }`,
    );
    execFileSync('clang', ['-O2', '-g', '-target', 'bpf', '-c', source, '-o', object]);
    leavesNothing(() => {
      const opened = BpfObject.open(object);
      const error = failure(() => opened.load());
      opened.close();
      assert.is(error.code, 'EACCES');
      assert.match(error.detail, 'invalid access to packet');
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

needs.bpf(test)('pinned tables continue, changed ones are refused as a value', () => {
  withPins((folder) => {
    leavesNothing(() => {
      const pins = new Map([
        ['flows', join(folder, 'flows')],
        ['services', join(folder, 'services')],
        ['settings', join(folder, 'settings')],
      ]);
      const first = BpfObject.open(objectPath, { mapMaxEntries: small, pinned: pins });
      assert.equal(
        [...first.pinned.values()],
        [{ state: 'absent' }, { state: 'absent' }, { state: 'absent' }],
      );
      first.load();
      for (const [name, path] of pins) first.map(name).pin(path);
      const { valueSize } = first.map('settings');
      first.map('settings').update(u32(0), new Uint8Array(valueSize).fill(5));
      assert.is(failure(() => first.map('flows').pin(join(folder, 'flows'))).code, 'EEXIST');
      first.close();

      const larger = new Map([...small, ['flows', 2048]] as const);
      const second = BpfObject.open(objectPath, { mapMaxEntries: larger, pinned: pins });
      assert.is(second.pinned.get('settings')?.state, 'reused');
      assert.is(second.pinned.get('services')?.state, 'reused');
      const flows = second.pinned.get('flows');
      assert.is(flows?.state, 'mismatch');
      if (flows?.state === 'mismatch') {
        assert.is(flows.error.code, 'EMISMATCH');
        assert.match(flows.error.message, 'entries 1024, wanted 2048');
      }
      second.load();
      assert.equal(second.map('settings').lookup(u32(0)), new Uint8Array(valueSize).fill(5));
      assert.is(second.map('flows').info().maxEntries, 2048);
      second.close();

      // The same sizes, other fields.
      assert.is(unpin(join(folder, 'services')), true);
      assert.is(unpin(join(folder, 'services')), false);
      const stranger = BpfMap.create({
        type: mapTypes.array,
        name: 'settings',
        keySize: 4,
        valueSize: 24,
        maxEntries: 1,
      });
      unpin(join(folder, 'settings'));
      stranger.pin(join(folder, 'settings'));
      stranger.close();
      const third = BpfObject.open(objectPath, { mapMaxEntries: small, pinned: pins });
      assert.is(third.pinned.get('settings')?.state, 'mismatch');
      assert.is(third.pinned.get('services')?.state, 'absent');
      assert.is(third.pinned.get('flows')?.state, 'reused');
      third.close();

      const opened = BpfMap.open(join(folder, 'flows'));
      assert.is(opened.maxEntries, 1024);
      opened.close();
      assert.is(failure(() => BpfMap.open(join(folder, 'nothing'))).code, 'ENOENT');
    });
  });
});

needs.bpf(test)('a BPF file system is mounted once', () => {
  withPins((folder) => {
    assert.is(isBpffs(folder), true);
    assert.is(mountBpffs(folder), false);
  });
});

needs.bpf(test)('links: native and generic, swapped, pinned, detached', () => {
  const leave = enterNetworkNamespace();
  try {
    execFileSync('ip', ['link', 'add', 'weir0', 'type', 'veth', 'peer', 'name', 'weir1']);
    const list = execFileSync('ip', ['-o', 'link', 'show', 'weir0'], { encoding: 'utf8' });
    const index = Number.parseInt(list, 10);
    withPins((folder) => {
      leavesNothing(() => {
        const object = BpfObject.open(objectPath, { mapMaxEntries: small }).load();
        const again = BpfObject.open(objectPath, { mapMaxEntries: small }).load();
        const program = object.program('weir_xdp');
        const other = again.program('weir_xdp');
        for (const mode of ['native', 'generic'] as const) {
          const link = BpfLink.attachXdp(program, index, mode);
          assert.equal(link.info(), {
            type: 'xdp',
            id: link.info().id,
            programId: program.info().id,
            interfaceIndex: index,
          });
          assert.is(failure(() => BpfLink.attachXdp(other, index, mode)).code, 'EBUSY');
          assert.is(failure(() => link.update(other, other)).code, 'EPERM');
          link.update(other, program);
          assert.is(link.info().programId, other.info().id);
          const path = join(folder, `link-${mode}`);
          link.pin(path);
          link.close();
          const opened = BpfLink.open(path);
          assert.is(opened.info().programId, other.info().id);
          opened.detach();
          assert.is(opened.info().interfaceIndex, 0);
          opened.close();
          unpin(path);
        }
        assert.is(failure(() => BpfLink.attachXdp(program, 4_000_000, 'native')).code, 'EINVAL');
        program.pin(join(folder, 'program'));
        const pinned = BpfProgram.open(join(folder, 'program'));
        assert.is(pinned.info().tag, program.info().tag);
        pinned.close();
        again.close();
        object.close();
      });
    });
  } finally {
    leave();
  }
});

needs.bpf(test)('a ring is only opened on a ring, and drains nothing when empty', () => {
  leavesNothing(() => {
    const object = BpfObject.open(objectPath, { mapMaxEntries: small }).load();
    assert.is(failure(() => RingBuffer.open(object.map('flows'))).code, 'EINVAL');
    const ring = RingBuffer.open(object.map('events'));
    assert.is(
      ring.drain(() => assert.unreachable('a record in an empty ring')),
      0,
    );
    ring.close();
    assert.is(failure(() => ring.drain(() => undefined)).code, 'ECLOSED');
    object.close();
  });
});

test.run();
