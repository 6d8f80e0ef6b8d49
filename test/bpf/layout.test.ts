/**
 * The layout of the shared tables as the object's BTF has it, written down a second time: a
 * change of tables.h that moves a byte has to be made here as well, and is a new layout for
 * every unit that upgrades.
 */
import { existsSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BpfError } from '../../native/ffi/libbpf.js';
import { Btf } from '../../native/ffi/btf.js';
import { dropReasons, objectPath } from './datapath.js';

const test = suite('bpf layout');

/** Name to offset and size of each field; the last entry is the size of the whole. */
const layouts: Readonly<Record<string, readonly (readonly [string, number, number])[]>> = {
  weir_address: [['word', 0, 16]],
  weir_service_key: [
    ['address', 0, 16],
    ['port', 16, 2],
    ['protocol', 18, 1],
    ['zero', 19, 1],
  ],
  weir_service: [
    ['id', 0, 4],
    ['first_chunk', 4, 4],
    ['slots', 8, 4],
    ['forwarding', 12, 1],
    ['choice', 13, 1],
    ['flags', 14, 1],
    ['prefix', 15, 1],
    ['persistence', 16, 4],
    ['mss', 20, 2],
    ['gue_port', 22, 2],
    ['protect', 24, 1],
    ['zero', 25, 3],
  ],
  weir_placement: [
    ['first_chunk', 0, 4],
    ['slots', 4, 4],
    ['choice', 8, 1],
    ['flags', 9, 1],
    ['mss', 10, 2],
  ],
  weir_member: [
    ['identity', 0, 8],
    ['address', 8, 16],
    ['port', 24, 2],
    ['mac', 26, 6],
    ['source_mac', 32, 6],
    ['state', 38, 1],
    ['zero', 39, 1],
    ['interface', 40, 4],
    ['generation', 44, 4],
    ['weight', 48, 2],
    ['mtu', 50, 2],
    ['vlan', 52, 4],
    ['reserved', 56, 8],
  ],
  weir_slot: [
    ['member', 0, 4],
    ['previous', 4, 4],
  ],
  weir_chunk: [['slot', 0, 64]],
  weir_flow_key: [
    ['source', 0, 16],
    ['destination', 16, 16],
    ['source_port', 32, 2],
    ['destination_port', 34, 2],
    ['protocol', 36, 1],
    ['zero', 37, 3],
  ],
  weir_flow: [
    ['member', 0, 4],
    ['generation', 4, 4],
    ['service', 8, 4],
    ['port', 12, 2],
    ['direction', 14, 1],
    ['closing', 15, 1],
    ['address', 16, 16],
    ['client_mac', 32, 6],
    ['unit_mac', 38, 6],
    ['interface', 44, 4],
    ['seen_ns', 48, 8],
    ['client', 56, 16],
    ['client_port', 72, 2],
    ['flags', 74, 1],
    ['forwarding', 75, 1],
    ['hash', 76, 4],
    ['vlan', 80, 4],
    ['nat', 84, 1],
    ['mirror', 85, 1],
    ['window', 86, 2],
    ['delta', 88, 4],
    ['isn', 92, 4],
  ],
  weir_fragment_key: [
    ['source', 0, 16],
    ['destination', 16, 16],
    ['identification', 32, 4],
    ['protocol', 36, 1],
    ['zero', 37, 3],
  ],
  weir_persistence_key: [
    ['address', 0, 16],
    ['service', 16, 4],
  ],
  weir_persistence: [
    ['member', 0, 4],
    ['generation', 4, 4],
    ['seen_ns', 8, 8],
    ['mirror', 16, 1],
    ['zero', 17, 7],
  ],
  weir_mirrored: [
    ['flow', 0, 40],
    ['identity', 40, 8],
    ['address', 48, 16],
    ['port', 64, 2],
    ['kind', 66, 1],
    ['flags', 67, 1],
    ['closing', 68, 1],
    ['forwarding', 69, 1],
    ['pass', 70, 1],
    ['nat', 71, 1],
    ['age_ms', 72, 4],
    ['hash', 76, 4],
    ['delta', 80, 4],
    ['isn', 84, 4],
    ['interface', 88, 4],
    ['vlan', 92, 4],
    ['client_mac', 96, 6],
    ['unit_mac', 102, 6],
    ['member', 108, 4],
    ['local', 112, 4],
    ['zero', 116, 4],
  ],
  weir_mirror_walk: [
    ['now_ns', 0, 8],
    ['before_ns', 8, 8],
    ['pass', 16, 4],
    ['most', 20, 4],
    ['reset', 24, 4],
    ['adopt', 28, 4],
    ['told', 32, 4],
    ['left', 36, 4],
    ['adopted', 40, 4],
    ['keys', 44, 4],
  ],
  weir_mirror_take: [
    ['now_ns', 0, 8],
    ['count', 8, 4],
    ['full', 12, 4],
  ],
  weir_quic_key: [
    ['service', 0, 4],
    ['server', 4, 2],
    ['zero', 6, 2],
  ],
  weir_nat_address: [['address', 0, 16]],
  weir_reply_key: [
    ['address', 0, 16],
    ['port', 16, 2],
    ['protocol', 18, 1],
    ['zero', 19, 1],
  ],
  weir_counters: [
    ['packets', 0, 8],
    ['bytes', 8, 8],
    ['flows', 16, 8],
    ['reply_packets', 24, 8],
    ['reply_bytes', 32, 8],
    ['answers', 40, 8],
    ['answer_ns', 48, 8],
    ['resets', 56, 8],
  ],
  weir_event: [
    ['time_ns', 0, 8],
    ['flow', 8, 40],
    ['service', 48, 4],
    ['member', 52, 4],
    ['previous', 56, 4],
    ['kind', 60, 1],
    ['reason', 61, 1],
    ['zero', 62, 2],
  ],
  weir_settings: [
    ['events_per_second', 0, 4],
    ['nat_services', 4, 4],
    ['hash_seed', 8, 4],
    ['tunnel_source4', 12, 4],
    ['tunnel_mask4', 16, 4],
    ['nat_addresses4', 20, 4],
    ['nat_addresses6', 24, 4],
    ['nat_half', 28, 2],
    ['errors_per_second', 30, 2],
    ['tunnel_source6', 32, 16],
    ['probing', 48, 4],
    ['half_open', 52, 4],
    ['mirror', 56, 4],
    ['own_macs_known', 60, 4],
    ['own_macs_factor', 64, 8],
    ['own_macs', 72, 2048],
  ],
  weir_elsewhere: [['router', 0, 512]],
  weir_cookies: [
    ['second_ns', 0, 8],
    ['until_ns', 8, 8],
    ['opened', 16, 8],
    ['confirmed', 24, 8],
    ['sent', 32, 8],
    ['accepted', 40, 8],
    ['rejected', 48, 8],
  ],
  weir_totals: [
    ['passed', 0, 8],
    ['echo_replies', 8, 8],
    ['events_lost', 16, 8],
    ['errors_sent', 24, 8],
    ['taken_over', 32, 8],
  ],
  weir_access_key: [
    ['bits', 0, 4],
    ['set', 4, 4],
    ['address', 8, 16],
  ],
  weir_rate: [
    ['cost_ns', 0, 8],
    ['burst_ns', 8, 8],
  ],
  weir_protection: [
    ['service', 0, 16],
    ['source', 16, 16],
    ['access_set', 32, 4],
    ['service_connections', 36, 4],
    ['source_connections', 40, 4],
    ['source_bits', 44, 1],
    ['source_bits6', 45, 1],
    ['zero', 46, 2],
  ],
  weir_member_limits: [
    ['rate', 0, 16],
    ['connections', 16, 4],
    ['zero', 20, 4],
  ],
  weir_source_key: [
    ['address', 0, 16],
    ['service', 16, 4],
  ],
  weir_source: [
    ['due_ns', 0, 8],
    ['active', 8, 4],
    ['zero', 12, 4],
  ],
};

function object(): Btf {
  if (!existsSync(objectPath)) throw new Error(`build ${objectPath} with native/bpf/build.sh`);
  return Btf.ofObjectFile(objectPath);
}

for (const [name, fields] of Object.entries(layouts)) {
  test(name, () => {
    const layout = object().struct(name);
    assert.ok(layout !== null, `${name} is in the object`);
    assert.equal(
      layout.fields.map((field) => [field.name, field.offset, field.size]),
      fields,
    );
    const end = Math.max(...fields.map(([, offset, size]) => offset + size));
    assert.is(layout.size, end, 'no byte of padding is hidden');
  });
}

test('enumerations', () => {
  const btf = object();
  assert.equal(Object.fromEntries(btf.enum('weir_event_kind')?.values ?? []), {
    WEIR_EVENT_FLOW_NEW: 1,
    WEIR_EVENT_FLOW_MOVED: 2,
    WEIR_EVENT_DROP: 3,
  });
  assert.is(btf.enum('nonsense'), null);
});

test('drop reasons of the tests are those of the header', () => {
  // The enumeration may be absent from BTF when no variable has its type.
  const values = object().enum('weir_drop_reason')?.values;
  assert.ok(values !== undefined, 'enum weir_drop_reason is in the object');
  dropReasons.forEach((reason, index) => {
    assert.is(values.get(`WEIR_DROP_${reason}`), index, reason);
  });
  assert.is(values.get('WEIR_DROP_REASONS'), dropReasons.length);
});

test('a field says its C type', () => {
  const fields = object().struct('weir_flow')?.fields ?? [];
  const types = new Map(fields.map((field) => [field.name, field.type]));
  assert.is(types.get('member'), '__u32');
  assert.is(types.get('address'), 'struct weir_address');
  assert.is(types.get('client_mac'), '__u8[6]');
  assert.is(types.get('port'), '__be16');
});

test('damaged type information is refused', () => {
  const refused = (bytes: Uint8Array): void => {
    assert.throws(
      () => Btf.parse(bytes),
      (error: unknown) => error instanceof BpfError && error.code === 'EBTF',
    );
  };
  refused(new Uint8Array(0));
  refused(new Uint8Array(24));
  const header = new Uint8Array(24);
  const view = new DataView(header.buffer);
  view.setUint16(0, 0xeb9f, true);
  view.setUint8(2, 1);
  view.setUint32(4, 24, true);
  view.setUint32(12, 4096, true);
  refused(header);
});

test.run();
