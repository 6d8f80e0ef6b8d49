/** What the speaker tells the fast path of virtual routers with MAC addresses of their own. */
import { openSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Elsewhere } from '../../../appliance/ha/vrrp/speaker/elsewhere.js';
import { close } from '../../../native/ffi/libc.js';
import { Mapping, pageSize } from '../../../native/ffi/memory.js';
import { sharedMemory } from '../../../native/ffi/packet-channel.js';
import { routerOf } from '../../support/vrrp-network.js';

const test = suite('virtual routers elsewhere');

/** As the fast path sees it: places that are not zero. */
function seen(mapping: Mapping): number[] {
  return [...new Uint8Array(mapping.buffer)].flatMap((value, place) => (value === 0 ? [] : place));
}

test('what is not held is told, by id and family; what is about to be held is not', () => {
  const fd = sharedMemory('elsewhere', pageSize);
  const memory = Mapping.open(fd, { length: pageSize, access: 'read' });
  const elsewhere = new Elsewhere();
  const own = (part: Parameters<typeof routerOf>[0]): ReturnType<typeof routerOf> =>
    routerOf({ virtualMac: true, ...part });
  const four = own({ name: 'four', vrid: 51 });
  const same = own({ name: 'same', vrid: 51, interface: 'eth1' });
  const six = own({ name: 'six', vrid: 51, family: 6 });
  const plain = routerOf({ name: 'plain', vrid: 7 });
  try {
    elsewhere.follow(openSync(`/proc/self/fd/${fd}`, 'r+'), [four, same, six, plain]);
    assert.equal(seen(memory), [], 'nothing is known yet');
    elsewhere.settled([plain]);
    assert.equal(seen(memory), [51, 256 + 51]);
    elsewhere.here([plain, same]);
    assert.equal(seen(memory), [256 + 51], 'before its addresses are put on');
    elsewhere.settled([same]);
    assert.equal(seen(memory), [256 + 51], 'held on one of its interfaces');
    elsewhere.here([six]);
    assert.equal(seen(memory), [], 'until the addresses of the other one are off');
    elsewhere.settled([six]);
    assert.equal(seen(memory), [51]);
    elsewhere.follow(null, [four]);
    elsewhere.settled([]);
    assert.equal(seen(memory), [51], 'without a fast path there is nobody to tell');
  } finally {
    elsewhere.close();
    memory.close();
    close(fd);
  }
});

test.run();
