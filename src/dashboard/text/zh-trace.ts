/** 报文跟踪页面的文字。 */
import type { trace as words } from './en-trace.ts'

export const trace: typeof words = {
  packets: '报文',
  whose: '跟踪对象',
  kinds: { clientId: '某个客户端', address: '某个地址', filter: '某个主题' },
  values: { clientId: '客户端标识', address: '地址（不含端口）', filter: '主题过滤器' },
  begin: '开始',
  stop: '停止',
  again: '重新开始',
  nothingAsked: '报文经过时解码显示，不含密码，最长十分钟。',
  nothing: '还没有报文经过。',
  states: { connecting: '正在开始', connected: '跟踪中', ended: '已结束', refused: '被拒绝' },
  events: { received: '→ 来自它', sent: '← 发给它', fault: '错误', closed: '关闭' },
  leftOut: (number) => `省略了 ${number} 条`,
  totals: (total, shown) => `共 ${total} 条；显示最后 ${shown} 条`,
  link: '跟踪它的报文',
}
