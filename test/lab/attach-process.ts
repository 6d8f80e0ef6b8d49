/**
 * Puts an XDP program on interfaces of the lab that are not the unit's, and ends; pins hold
 * it there.
 *
 * On the switch side of a unit's links: one that passes everything (bench_empty). The
 * kernel's veth wakes the receiver of a frame sent by XDP_TX only when that has an XDP
 * program itself (NAPI alone is enough for XDP_REDIRECT): without it such frames would
 * lie in the ring until something else comes along, which no network card does.
 *
 * On a member's link: the member's end of tunnels (decap_xdp), since not every kernel has
 * the devices.
 *
 * Runs in the namespace of the interfaces, because a link is attached where its process
 * is. Arguments: object, program, where to pin, then interface indices.
 */
import { join } from 'node:path';
import { projectRoot } from '../../appliance/paths.js';
import { BpfLink, BpfObject } from '../../native/ffi/libbpf.js';

const [file = '', program = '', pin = '', ...interfaces] = process.argv.slice(2);
const object = BpfObject.open(join(projectRoot, 'build', 'native', 'bpf', file)).load();
try {
  for (const index of interfaces) {
    const link = BpfLink.attachXdp(object.program(program), Number(index), 'native');
    link.pin(`${pin}-${index}`);
    link.close();
  }
} finally {
  object.close();
}
