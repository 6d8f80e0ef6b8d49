/**
 * One echo request of its own (RFC 792, RFC 4443 §4), and what comes back for it from whom: the step of
 * ping and traceroute. Unlike the icmp monitor it has a socket for each request, so that each may have
 * a hop limit.
 */
import { randomFillSync, randomInt } from 'node:crypto';
import { IcmpSocket } from '../../native/ffi/icmp-socket.js';
import { SystemError } from '../../native/ffi/libc.js';
import type { Poller } from '../../native/ffi/poller.js';
import type { EchoRow } from '../api/network-contract.js';
import { formatAddress, type IpAddress } from '../config/address-codec.js';
import { formatDuration } from '../config/units-of-measure.js';
import { answerTypes, decodeAnswer, encodeRequest, same, TOKEN_BYTES } from './echo-packet.js';
import { failureOf } from './verdict.js';

/** @param hops most routers on the way; null: as the system has it. Never rejects. */
export function echo(
  poller: Poller,
  to: IpAddress,
  options: { readonly timeoutMs: number; readonly hops: number | null },
): Promise<EchoRow> {
  const { timeoutMs, hops } = options;
  return new Promise((resolve) => {
    let socket: IcmpSocket | null = null;
    let timer: NodeJS.Timeout | null = null;
    const finish = (answer: EchoRow): void => {
      if (timer !== null) clearTimeout(timer);
      if (socket !== null) {
        poller.remove(socket.fd);
        socket.close();
        poller.unref();
        socket = null;
        resolve(answer);
      }
    };
    const failed = (error: Error): EchoRow => ({
      ...{ from: null, ms: null, result: 'failed' },
      text: failureOf(error).reason,
    });
    const name = { identifier: randomInt(0x10000), sequence: randomInt(0x10000) };
    const token = randomFillSync(new Uint8Array(TOKEN_BYTES));
    let open: IcmpSocket;
    try {
      open = new IcmpSocket(to.family, { types: answerTypes(to.family), source: null, hops });
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      resolve(failed(error));
      return;
    }
    socket = open;
    poller.ref();
    const begun = performance.now();
    poller.add(open.fd, () =>
      open.drain((packet, source) => {
        const answer = decodeAnswer(to.family, packet);
        if (answer?.identifier !== name.identifier || answer.sequence !== name.sequence) return;
        if (answer.token !== null && !same(answer.token, token)) return;
        const from = formatAddress(source);
        const ms = performance.now() - begun;
        if (answer.kind === 'reply') {
          if (answer.token === null || !same(source, to.bytes)) return;
          finish({ from, ms, result: 'reply', text: 'echo reply' });
        } else if (answer.destination !== undefined && same(answer.destination, to.bytes)) {
          const expired = answer.expired === true;
          const text = expired ? 'hop limit reached' : (answer.reason ?? 'unreachable');
          finish({ from, ms, result: expired ? 'expired' : 'unreachable', text });
        }
      }),
    );
    timer = setTimeout(() => {
      const text = `no answer within ${formatDuration(timeoutMs)}`;
      finish({ from: null, ms: null, result: 'silent', text });
    }, timeoutMs);
    try {
      open.send(encodeRequest(to.family, name, token), to.bytes);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      finish(failed(error));
    }
  });
}
