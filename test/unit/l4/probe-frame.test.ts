/** Frames of probes, with checksums that an independent implementation finds right. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { probeFrame, TCP_FLAG, type ProbeFrame } from '../../../appliance/l4/probe-frame.js';
import { checksumFaults } from '../../bpf/checksums.js';

const test = suite('probe frames');

const ends = {
  4: { source: '192.0.2.1', destination: '10.0.0.80' },
  6: { source: '2001:db8::1', destination: 'fd00::80' },
} as const;
const contents: Readonly<Record<string, ProbeFrame['content']>> = {
  'a SYN': { protocol: 'tcp', flags: TCP_FLAG.syn, sequence: 0xffff_fffe },
  'a reset past the end of the sequence': {
    protocol: 'tcp',
    flags: TCP_FLAG.rst,
    sequence: 2 ** 32,
  },
  'an empty datagram': { protocol: 'udp', payload: new Uint8Array(0) },
  'a datagram of odd length': { protocol: 'udp', payload: Buffer.from('hello') },
};

for (const family of [4, 6] as const) {
  for (const [what, content] of Object.entries(contents)) {
    test(`${what} over IPv${family}`, () => {
      const toMac = Uint8Array.of(2, 0, 0, 0, 0, 9);
      const frame = probeFrame({
        ...{ toMac, ...ends[family], sourcePort: 40_000, destinationPort: 80, content },
      });
      assert.equal(checksumFaults(frame), []);
      assert.equal(frame.subarray(0, 6), Buffer.from(toMac));
      const transport = family === 4 ? 34 : 54;
      assert.is(Buffer.from(frame).readUInt16BE(transport), 40_000);
      assert.is(Buffer.from(frame).readUInt16BE(transport + 2), 80);
    });
  }
}

test.run();
