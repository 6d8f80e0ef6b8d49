/** Which MAC addresses frames for this unit have. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ownMacs } from '../../../appliance/net/own-macs.js';

const test = suite('MAC addresses of a unit');

const link = (mac: string, more: object = {}): Parameters<typeof ownMacs>[0][number] => ({
  ...{ mac: Uint8Array.from(Buffer.from(mac, 'hex')), ethernet: true, loopback: false },
  ...more,
});

test('each once, of all devices, in an order of their own', () => {
  const links = [
    link('020000000002'),
    link('020000000001'),
    link('020000000002'),
    link('', { ethernet: false }),
    link('000000000000', { loopback: true }),
    // Of virtual routers, which the program knows by themselves.
    link('00005e000133'),
    link('00005e000233'),
  ];
  assert.equal(
    ownMacs(links).map((mac) => Buffer.from(mac).toString('hex')),
    ['020000000001', '020000000002'],
  );
});

test.run();
