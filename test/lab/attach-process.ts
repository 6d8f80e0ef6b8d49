/**
 * Puts an XDP program that passes everything on the switch side of a unit's links. The
 * kernel's veth wakes the receiver of a frame sent by XDP_TX only when that has an XDP
 * program itself (NAPI alone is enough for XDP_REDIRECT): without it such frames would
 * lie in the ring until something else comes along, which no network card does.
 *
 * Runs in the switch's namespace, because a link is attached where its process is.
 * Arguments: a directory for the pins, then interface indices.
 */
import { join } from 'node:path';
import { projectRoot } from '../../appliance/paths.js';
import { BpfLink, BpfObject } from '../../native/ffi/libbpf.js';

const [pins = '', ...interfaces] = process.argv.slice(2);
const object = BpfObject.open(join(projectRoot, 'build', 'native', 'bpf', 'bench.bpf.o')).load();
try {
  for (const index of interfaces) {
    const link = BpfLink.attachXdp(object.program('bench_empty'), Number(index), 'native');
    link.pin(join(pins, `wire-${index}`));
    link.close();
  }
} finally {
  object.close();
}
