/** The transport that a target's settings ask for, and where it leads to in a few words. */
import type { Alert as TargetSettings } from '../config/alerts.js';
import { formatEndpoint } from '../config/addresses.js';
import { email } from './email.js';
import { syslog, syslogPort } from './syslog.js';
import type { Sender, Transport } from './transport.js';
import { webhook } from './webhook.js';

export function makeTransport(settings: TargetSettings, sender: Sender): Transport {
  switch (settings.type) {
    case 'webhook':
      return webhook(settings, sender);
    case 'syslog':
      return syslog(settings, sender);
    case 'email':
      return email(settings, sender);
  }
}

export function destination(settings: TargetSettings): string {
  switch (settings.type) {
    case 'webhook':
      return settings.url;
    case 'syslog':
      return `${formatEndpoint({ address: settings.server, port: syslogPort(settings) })}/${settings.transport}`;
    case 'email':
      return settings.to.join(', ');
  }
}
