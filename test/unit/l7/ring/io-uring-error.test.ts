/** What an administrator reads when io_uring cannot be used. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { refusal } from '../../../../native/ffi/io-uring-error.js';

const test = suite('refusals of io_uring');

const cases: readonly {
  readonly errno: number;
  readonly disabled: string | null;
  readonly code: string;
  readonly says: RegExp;
}[] = [
  { errno: 38, disabled: null, code: 'ENOSYS', says: /no io_uring.*Boot kernel 6\.1 or newer/ },
  { errno: 1, disabled: '2', code: 'EPERM', says: /io_uring_disabled forbids.*Set it to 0/ },
  { errno: 1, disabled: '1', code: 'EPERM', says: /privileged processes only.*Run Weir as root/ },
  { errno: 1, disabled: '0', code: 'EPERM', says: /security policy.*seccomp profile/ },
  { errno: 13, disabled: null, code: 'EACCES', says: /security policy.*audit log/ },
  { errno: 22, disabled: '0', code: 'EOLDKERNEL', says: /lacks modes.*Boot kernel 6\.1/ },
  { errno: 12, disabled: '0', code: 'ENOMEM', says: /memory/ },
  { errno: 24, disabled: '0', code: 'EMFILE', says: /LimitNOFILE/ },
  { errno: 14, disabled: '0', code: 'EFAULT', says: /cannot be set up \(EFAULT\)/ },
];

for (const { errno, disabled, code, says } of cases) {
  test(`errno ${errno} with kernel.io_uring_disabled ${disabled ?? 'absent'} says what to do`, () => {
    const error = refusal(errno, disabled);
    assert.is(error.code, code);
    assert.match(error.message, says);
    assert.ok(error.message.endsWith(error.remedy), error.message);
  });
}

test.run();
