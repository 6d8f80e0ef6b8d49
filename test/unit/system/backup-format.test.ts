/** The file of a backup: what it opens by, and that no damage or claim gets past it. */
import { randomBytes } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BackupError } from '../../../appliance/system/backup/errors.js';
import { seal, unseal } from '../../../appliance/system/backup/format.js';
import { pack, unpack } from '../../../appliance/system/backup/records.js';

const test = suite('backup file');
const CHEAP = 10;
const HEADER = 64;
const CHUNK = 64 * 1024;
const PASSPHRASE = 'correct horse';

async function refused(file: Buffer, why: RegExp, passphrase = PASSPHRASE): Promise<void> {
  try {
    await unseal(file, passphrase);
  } catch (error) {
    assert.instance(error, BackupError);
    assert.match((error as Error).message, why);
    return;
  }
  assert.unreachable('it was opened');
}

test('gives back what was written, whatever its length', async () => {
  for (const length of [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK]) {
    const content = randomBytes(length);
    assert.ok((await unseal(await seal(content, PASSPHRASE, CHEAP), PASSPHRASE)).equals(content));
  }
});

test('shows nothing of what is in it, and no two files are alike', async () => {
  const content = Buffer.alloc(1000, 'secret');
  const [one, other] = [
    await seal(content, PASSPHRASE, CHEAP),
    await seal(content, PASSPHRASE, CHEAP),
  ];
  assert.not(one.includes('secret'));
  assert.not(one.subarray(14).equals(other.subarray(14)));
});

test('says that a passphrase is wrong, and takes one that was typed in another form', async () => {
  const file = await seal(Buffer.from('content'), 'Grüße aus Köln', CHEAP);
  await refused(file, /passphrase is not/, 'Gruesse aus Koeln');
  assert.is((await unseal(file, 'Gr\u0075\u0308ße aus Ko\u0308ln')).toString(), 'content');
});

test('refuses a passphrase that protects nothing', async () => {
  try {
    await seal(Buffer.alloc(1), 'short', CHEAP);
    assert.unreachable();
  } catch (error) {
    assert.match((error as Error).message, /at least 8 characters/);
  }
});

test('refuses a file that is cut off, wherever', async () => {
  const file = await seal(randomBytes(2 * CHUNK + 100), PASSPHRASE, CHEAP);
  const cuts = [0, 5, 9, 40, HEADER - 1, HEADER, HEADER + 1, HEADER + 15, HEADER + 16];
  const chunk = CHUNK + 16;
  cuts.push(HEADER + chunk - 1, HEADER + chunk, HEADER + 2 * chunk, file.length - 1);
  for (const length of cuts) await refused(file.subarray(0, length), /no backup|cut off/);
});

test('refuses a flipped bit in every region', async () => {
  const file = await seal(randomBytes(CHUNK + 300), PASSPHRASE, CHEAP);
  const places = [...Array(HEADER + 20).keys()];
  for (let at = HEADER + 20; at < file.length; at += 4099) places.push(at);
  places.push(HEADER + CHUNK, HEADER + CHUNK + 15, HEADER + CHUNK + 16, file.length - 1);
  for (const at of places) {
    const damaged = Buffer.from(file);
    damaged[at] = (damaged[at] ?? 0) ^ (1 << (at % 8));
    await refused(damaged, at < 8 ? /no backup/ : /damaged/);
  }
});

test('refuses chunks that change places, come twice or from another file', async () => {
  const content = Buffer.alloc(3 * CHUNK, 'a');
  const file = await seal(content, PASSPHRASE, CHEAP);
  const other = await seal(content, PASSPHRASE, CHEAP);
  const of = (whole: Buffer, index: number): Buffer =>
    whole.subarray(HEADER + index * (CHUNK + 16), HEADER + (index + 1) * (CHUNK + 16));
  const header = file.subarray(0, HEADER);
  for (const chunks of [
    [of(file, 1), of(file, 0), of(file, 2)],
    [of(file, 0), of(file, 0), of(file, 2)],
    [of(file, 0), of(other, 1), of(file, 2)],
    [of(file, 0), of(file, 1), of(file, 2), of(file, 2)],
    [of(file, 0), of(file, 2)],
  ]) {
    await refused(Buffer.concat([header, ...chunks]), /damaged/);
  }
});

test('says that a format or a cost is not known', async () => {
  const { createHash } = await import('node:crypto');
  const file = await seal(Buffer.alloc(10), PASSPHRASE, CHEAP);
  const claiming = (edit: (header: Buffer) => void): Buffer => {
    const copy = Buffer.from(file);
    edit(copy);
    createHash('sha256').update(copy.subarray(0, 56)).digest().copy(copy, 56, 0, 8);
    return copy;
  };
  await refused(
    claiming((header) => header.writeUInt16BE(2, 8)),
    /format 2, and this Weir reads format 1/,
  );
  // 2^40 blocks of memory: refused before anything is computed.
  await refused(
    claiming((header) => header.writeUInt8(40, 10)),
    /costs/,
  );
  await refused(
    claiming((header) => header.writeUInt8(255, 12)),
    /costs/,
  );
});

test('records come back as they were', async () => {
  const records = [
    { part: 'about', key: 'about', meta: { unit: 'a' }, body: Buffer.alloc(0) },
    { part: 'certificates', key: 'x', meta: null, body: randomBytes(70_000) },
  ];
  assert.equal(await unpack(await pack(records)), records);
});

test('records that claim more than there is are refused', async () => {
  const { brotliCompressSync } = await import('node:zlib');
  const claim = Buffer.alloc(8);
  claim.writeUInt32BE(2, 0);
  claim.writeUInt32BE(0xffff_ffff, 4);
  for (const content of [
    Buffer.from('no record'),
    Buffer.alloc(3),
    Buffer.concat([claim, Buffer.from('[]')]),
    Buffer.concat([Buffer.from([0, 0, 0, 2, 0, 0, 0, 0]), Buffer.from('[]')]),
  ]) {
    try {
      await unpack(brotliCompressSync(content));
      assert.unreachable();
    } catch (error) {
      assert.instance(error, BackupError);
    }
  }
  try {
    await unpack(randomBytes(100));
    assert.unreachable();
  } catch (error) {
    assert.instance(error, BackupError);
  }
});

test.run();
