/** What the answer to a small form does: whoever asked knows. */
import { answerAccess } from './access-keys.js';
import type { Ask } from './ask.js';
import { answerCertificate } from './certificate-keys.js';
import { answerConfig } from './config/questions.js';
import type { Model } from './model.js';
import { answerLogin } from './login.js';
import { answerNetwork } from './network-keys.js';
import { answerPair } from './pair-keys.js';
import { answerUser } from './user-keys.js';
import { answerSystem } from './system-keys.js';
import type { Step } from './step.js';
import { answerUpgrade } from './upgrade-keys.js';

export function answered(model: Model, now: Ask): Step {
  const done =
    answerAccess(model, now) ??
    answerLogin(model, now) ??
    answerUser(model, now) ??
    answerPair(model, now) ??
    answerCertificate(model, now) ??
    answerSystem(model, now) ??
    answerNetwork(model, now) ??
    answerUpgrade(model, now) ??
    answerConfig(model, now);
  if (typeof done !== 'string' && done !== null) return done;
  const problem = done ?? 'This cannot be done now.';
  return { model: { ...model, overlay: { ...now, problem } }, effects: [] };
}
