/** Messages between the daemon and its workers. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { close } from '../../../../native/ffi/libc.js';
import { packetPair, receivePacket, sendPacket } from '../../../../native/ffi/packet-channel.js';

const test = suite('packet channel');

test('what a side said last is heard, though it ended without reading everything', () => {
  const [ours, theirs] = packetPair();
  let open = true;
  try {
    sendPacket(ours, Buffer.from('never read'));
    sendPacket(theirs, Buffer.from('last words'));
    close(theirs);
    open = false;
    const said = receivePacket(ours);
    assert.is(said === null || said === 'ended' ? said : said.data.toString(), 'last words');
    assert.is(receivePacket(ours), 'ended');
  } finally {
    if (open) close(theirs);
    close(ours);
  }
});

test.run();
