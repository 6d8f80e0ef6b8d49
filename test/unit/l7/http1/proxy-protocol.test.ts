/** PROXY headers of both versions, read and written. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { crc32c } from '../../../../appliance/l7/http1/crc32c.js';
import { progress } from '../../../../appliance/l7/http1/faults.js';
import { addressText } from '../../../../appliance/l7/http1/peer.js';
import {
  ProxyHeader,
  tlvOf,
  tlvType,
  writeAddress,
  writeProxyBinary,
  writeProxyLine,
  type Endpoints,
} from '../../../../appliance/l7/http1/proxy-protocol.js';
import { Writer } from '../../../../appliance/l7/http1/writer.js';

const test = suite('http1 PROXY protocol');

/** One line that says what was read, the same however the bytes come. */
function read(bytes: Uint8Array, versions: '1' | '2' | 'both' = 'both'): string {
  const once = (pieces: readonly number[]): string => {
    const header = new ProxyHeader({ size: 300, versions });
    header.reset(3);
    const seen = new Uint8Array(bytes.length + 3);
    let result: number = progress.more;
    let from = 0;
    for (const end of [...pieces, bytes.length]) {
      seen.set(bytes.subarray(from, end), 3 + from);
      result = header.parse(seen, 3 + end);
      from = end;
      if (result !== progress.more) break;
    }
    if (result === progress.more) return 'more';
    if (result === progress.refused) return header.fault ?? 'no fault';
    const text = (address: Uint8Array): string =>
      header.family === 0 ? '-' : addressText(address, header.family);
    const ends = `${text(header.source)} ${header.sourcePort} ${text(header.destination)} ${header.destinationPort}`;
    return `${header.local ? 'local ' : ''}${ends} ${header.end - 3}`;
  };
  const whole = once([]);
  const all = Array.from({ length: Math.max(0, bytes.length - 1) }, (_, i) => i + 1);
  for (const cut of all) assert.is(once([cut]), whole, `cut at ${cut}`);
  assert.is(once(all), whole, 'byte by byte');
  return whole;
}

const line = (text: string): string => read(Buffer.from(text, 'latin1'));

test('reads lines of version 1', () => {
  assert.is(
    line('PROXY TCP4 192.0.2.1 198.51.100.2 1234 80\r\nGET'),
    '192.0.2.1 1234 198.51.100.2 80 43',
  );
  assert.is(line('PROXY TCP6 2001:db8::1 ::1 65535 0\r\n'), '2001:db8::1 65535 ::1 0 36');
  assert.is(
    line('PROXY TCP6 ::ffff:192.0.2.1 1:2:3:4:5:6:7:8 1 2\r\n'),
    '::ffff:c000:201 1 1:2:3:4:5:6:7:8 2 49',
  );
  assert.is(line('PROXY UNKNOWN\r\n'), '- 0 - 0 15');
  assert.is(line('PROXY UNKNOWN whatever 1 2\r\n'), '- 0 - 0 28');
});

test('refuses lines that are not exact', () => {
  for (const text of [
    'PROXY TCP4 192.0.2.1 198.51.100.2 1234 80\n\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.2 1234\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.2 1234 80 \r\n',
    'PROXY TCP4  192.0.2.1 198.51.100.2 1234 80\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.2 01234 80\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.2 65536 80\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.2 -1 80\r\n',
    'PROXY TCP4 192.0.2.256 198.51.100.2 1 80\r\n',
    'PROXY TCP4 2001:db8::1 ::1 1 2\r\n',
    'PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n',
    'PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n',
    'PROXY tcp4 192.0.2.1 198.51.100.2 1 2\r\n',
    'PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n',
    'PROXY UNKNOWNX\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.2 1 2\rX',
    'PROXY \0\r\n',
  ]) {
    assert.is(line(text), 'bad-proxy-line', JSON.stringify(text));
  }
  assert.is(line(`PROXY UNKNOWN ${'x'.repeat(100)}\r\n`), 'proxy-line-too-long');
  assert.is(line(`PROXY UNKNOWN ${'x'.repeat(91)}\r\n`), '- 0 - 0 107');
  assert.is(line('GET / HTTP/1.1\r\n'), 'no-proxy-header');
  assert.is(line('PROX / HTTP/1.1\r\n'), 'no-proxy-header');
  assert.is(line('PROXY TCP4 1'), 'more');
});

const sign = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const binary = (command: number, family: number, rest: readonly number[], length = rest.length) =>
  read(Buffer.concat([sign, Buffer.from([command, family, length >> 8, length & 255, ...rest])]));
const four = [192, 0, 2, 1, 198, 51, 100, 2, 4, 210, 0, 80];

test('reads headers of version 2', () => {
  assert.is(binary(0x21, 0x11, four), '192.0.2.1 1234 198.51.100.2 80 28');
  const six = [
    ...Array<number>(15).fill(0),
    1,
    32,
    1,
    13,
    184,
    ...Array<number>(12).fill(0),
    0,
    1,
    0,
    2,
  ];
  assert.is(binary(0x21, 0x21, six), '::1 1 2001:db8:: 2 52');
  assert.is(binary(0x20, 0x00, []), 'local - 0 - 0 16');
  assert.is(binary(0x20, 0x11, four), 'local - 0 - 0 28');
  assert.is(binary(0x21, 0x00, [1, 2, 3]), '- 0 - 0 19');
  assert.is(binary(0x21, 0x31, Array<number>(216).fill(0)), '- 0 - 0 232');
  assert.is(binary(0x21, 0x12, four), '- 0 - 0 28', 'datagrams do not come in connections');
  assert.is(binary(0x21, 0x11, [...four, 4, 0, 1, 0]), '192.0.2.1 1234 198.51.100.2 80 32');
});

test('refuses headers of version 2 that are not exact', () => {
  assert.is(binary(0x11, 0x11, four), 'bad-proxy-version');
  assert.is(binary(0x22, 0x11, four), 'bad-proxy-version');
  assert.is(binary(0x21, 0x41, four), 'bad-proxy-family');
  assert.is(binary(0x21, 0x13, four), 'bad-proxy-family');
  assert.is(binary(0x21, 0x11, four.slice(1)), 'bad-proxy-length');
  assert.is(binary(0x21, 0x21, four), 'bad-proxy-length');
  assert.is(binary(0x21, 0x11, four, 301), 'proxy-header-too-long');
  assert.is(binary(0x21, 0x11, [...four, 4]), 'bad-proxy-tlv');
  assert.is(binary(0x21, 0x11, [...four, 4, 0, 2, 0]), 'bad-proxy-tlv');
  assert.is(binary(0x21, 0x11, [...four, 3, 0, 3, 0, 0, 0]), 'bad-proxy-tlv');
  assert.is(binary(0x21, 0x11, [...four, 3, 0, 4, 0, 0, 0, 0]), 'bad-proxy-checksum');
  assert.is(binary(0x21, 0x11, four, 20), 'more');
  assert.is(read(Buffer.from('\r\n\r\n\0\r\nQUIX\n', 'latin1')), 'no-proxy-header');
});

test('takes only the version that is asked for', () => {
  const text = Buffer.from('PROXY UNKNOWN\r\n');
  assert.is(read(text, '2'), 'no-proxy-header');
  assert.is(read(Buffer.concat([sign, Buffer.from([0x20, 0, 0, 0])]), '1'), 'no-proxy-header');
});

test('computes CRC-32C as RFC 3720 shows it', () => {
  const digits = Buffer.from('123456789');
  assert.is(crc32c(digits, 0, 9, 0, 0), 0xe3069283);
  assert.is(crc32c(new Uint8Array(32), 0, 32, 0, 0), 0x8a9136aa);
});

test('reads what it writes, and the right checksum', () => {
  const ends = (family: 0 | 4 | 6, source: string, destination: string): Endpoints => {
    const one = new Uint8Array(16);
    const two = new Uint8Array(16);
    writeAddress(one, source);
    writeAddress(two, destination);
    return { family, source: one, destination: two, sourcePort: 4711, destinationPort: 443 };
  };
  const written = (write: (writer: Writer) => void): Uint8Array => {
    const writer = new Writer();
    const out = new Uint8Array(400);
    writer.reset(out, 0, out.length);
    write(writer);
    return out.subarray(0, writer.end);
  };
  for (const one of [ends(4, '192.0.2.1', '198.51.100.2'), ends(6, '2001:db8::1', 'fe80::')]) {
    const text = `${one.family === 4 ? '192.0.2.1 4711 198.51.100.2' : '2001:db8::1 4711 fe80::'} 443`;
    const v1 = written((writer) => writeProxyLine(writer, one));
    assert.is(read(v1), `${text} ${v1.length}`);
    const tlvs = tlvOf(tlvType.authority, Buffer.from('a.example'));
    const v2 = written((writer) => writeProxyBinary(writer, one, tlvs));
    assert.is(read(v2), `${text} ${v2.length}`);
    const summed = written((writer) =>
      writeProxyBinary(writer, one, tlvOf(tlvType.crc32c, new Uint8Array(4))),
    );
    const at = summed.length - 4;
    Buffer.from(summed.buffer).writeUInt32BE(crc32c(summed, 0, summed.length, at, at + 4), at);
    assert.is(read(summed), `${text} ${summed.length}`);
  }
  assert.is(
    read(written((writer) => writeProxyLine(writer, ends(0, '0.0.0.0', '0.0.0.0')))),
    '- 0 - 0 15',
  );
  const local = written((writer) =>
    writeProxyBinary(writer, ends(0, '::', '::'), new Uint8Array(0)),
  );
  assert.is(read(local), 'local - 0 - 0 16');
});

test.run();
