/** What comes of attaching to an interface, where the kernel refuses. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  attachInterface,
  makeGeneric,
  type AttachTo,
  type FastPathInterface,
} from '../../../appliance/l4/attach.js';
import type { Attachment } from '../../../appliance/l4/datapath.js';
import { BpfError } from '../../../native/ffi/libbpf.js';

const test = suite('attach');
const wanted: FastPathInterface = {
  ...{ name: 'eth1', index: 3, driver: 'veth', profile: 'veth' },
  modes: [
    { mode: 'native', obstacle: null },
    { mode: 'generic', obstacle: null },
  ],
};

/** A kernel that attaches in these modes, and to the others says `code`. */
function kernel(code: string, ...modes: readonly string[]): AttachTo {
  let current: Attachment | null = null;
  return {
    current: () => current,
    allowPorts: () => undefined,
    attach: (request) => {
      if (!modes.includes(request.mode)) throw new BpfError('cannot attach', { code });
      const attachment = { ...request, adopted: false, since: 0 };
      current = attachment;
      return attachment;
    },
    detach: () => {
      current = null;
    },
  };
}

test('an interface that does not follow the others to generic mode is told of, not thrown', () => {
  const datapath = kernel('EEXIST', 'native');
  const outcome = attachInterface(datapath, wanted, undefined);
  assert.is(outcome.attachment?.mode, 'native', outcome.why);
  const after = makeGeneric(datapath, outcome, 'mac0');
  assert.is(after.attachment, null);
  assert.ok(after.degraded);
  assert.match(after.why, /another XDP program runs on eth1, or on a device above it/);
});

test('a program that runs already stays, and the reason says how to try a better mode', () => {
  const datapath = kernel('EOPNOTSUPP', 'generic');
  const first = attachInterface(datapath, wanted, undefined);
  assert.match(first.why, /native was refused/);
  assert.is(attachInterface(datapath, wanted, first).why, first.why, 'the same run remembers');
  const later = attachInterface(datapath, wanted, undefined);
  assert.is(later.attachment, first.attachment);
  assert.match(later.why, /it runs so already.*weir detach/);
});

test.run();
