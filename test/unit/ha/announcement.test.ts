/** Frames that announce an address. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  gratuitousArp,
  unsolicitedAdvertisement,
} from '../../../appliance/ha/vrrp/announcement.js';
import { checksumFaults } from '../../bpf/checksums.js';

const test = suite('announcements of an address');

const mac = Buffer.from('020000000a01', 'hex');
const ipv4 = Uint8Array.of(10, 0, 0, 80);
const ipv6 = Buffer.from('20010db8000000000000000000000050', 'hex');

function hex(...parts: readonly string[]): string {
  return parts.join('').replaceAll(' ', '');
}

test('gratuitous ARP as a request: sender and target are the address, the target has no MAC', () => {
  assert.is(
    gratuitousArp(mac, ipv4, 'request').toString('hex'),
    hex(
      'ffffffffffff 020000000a01 0806',
      '0001 0800 06 04 0001',
      '020000000a01 0a000050 000000000000 0a000050',
    ),
  );
});

test('gratuitous ARP as a reply: the target has the MAC that caches shall hold', () => {
  assert.is(
    gratuitousArp(mac, ipv4, 'reply').toString('hex'),
    hex(
      'ffffffffffff 020000000a01 0806',
      '0001 0800 06 04 0002',
      '020000000a01 0a000050 020000000a01 0a000050',
    ),
  );
});

test('an unsolicited neighbour advertisement overrides, goes to all nodes and adds up', () => {
  const frame = unsolicitedAdvertisement(mac, ipv6, { router: true });
  const sum = frame.subarray(56, 58).toString('hex');
  assert.is(
    frame.toString('hex'),
    hex(
      '333300000001 020000000a01 86dd',
      '60000000 0020 3a ff',
      ipv6.toString('hex'),
      'ff020000000000000000000000000001',
      `88 00 ${sum} a0000000`,
      ipv6.toString('hex'),
      '02 01 020000000a01',
    ),
  );
  assert.equal(checksumFaults(frame), []);
});

test('a unit that does not forward does not call itself a router', () => {
  const frame = unsolicitedAdvertisement(mac, ipv6, { router: false });
  assert.is(frame.readUInt8(58), 0x20);
  assert.equal(checksumFaults(frame), []);
});

test.run();
